//! A published OpenAPI 3.0 description, to hold requests and answers against.
//!
//! It is no part of the project: where the environment names no file, what would be checked is not, and a line says so.
//!
//! # From OpenAPI to JSON Schema (2020-12)
//!
//! * A `$ref` keeps what stands beside it: in 2020-12 both hold, and the description repeats the type there.
//! * `nullable: true` adds `null` to the types, and to an enumeration.
//! * `format`: `uuid`, `date` and `date-time` are asserted; those of OpenAPI alone (`double`, `int32`) are not. Dates that
//!   are marked `x-is-msdate` or `x-is-msdate-time` have no format in the description: any text will do.
//! * `example`, `externalDocs` and everything with `x-` says nothing about a document and is dropped.
//! * Of a request: what is `readOnly` must not be there, and neither may anything the description does not know.
//! * Of an answer: what is `writeOnly` must not be there. More than the description knows may be, as in its own examples.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    sync::Mutex,
};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

pub struct Description {
    paths: Value,
    responses: Value,
    request_bodies: Value,
    parameters: Value,
    request_schemas: Value,
    answer_schemas: Value,
    validators: Mutex<HashMap<(Direction, String), &'static Validator>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Request,
    Answer,
}

impl Description {
    /// Reads the file that an environment variable names; none where it is not set.
    pub fn from_environment(variable: &str) -> Option<Self> {
        let Some(path) = std::env::var_os(variable) else {
            println!("{variable} is not set: nothing is held against the published description");
            return None;
        };
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Self::read(&text))
    }

    pub fn read(yaml: &str) -> Self {
        let mut document: Value = serde_saphyr::from_str(yaml).expect("the description is YAML");
        let schemas = document["components"]["schemas"].take();
        let mut take = |name: &str| document["components"][name].take();
        Self {
            responses: take("responses"),
            request_bodies: take("requestBodies"),
            parameters: take("parameters"),
            request_schemas: converted(&schemas, Direction::Request),
            answer_schemas: converted(&schemas, Direction::Answer),
            paths: document["paths"].take(),
            validators: Mutex::default(),
        }
    }

    /// What is wrong with a request; `path` as the description writes it.
    pub fn problems_of_request(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Vec<String> {
        let operation = self.operation(method, path);
        let mut problems = self.unknown_parameters(method, path, query);
        let content = Self::resolved(&operation["requestBody"], "requestBodies", &self.request_bodies);
        let schema = &content["content"]["application/json"]["schema"];
        match (schema.is_null(), body.is_empty()) {
            (true, true) => {}
            (true, false) => problems.push("a body where the description has none".to_owned()),
            (false, _) => problems.extend(self.problems(Direction::Request, schema, body)),
        }
        problems
    }

    /// What is wrong with an answer; one with a status that the description does not have is not looked at.
    pub fn problems_of_answer(&self, method: &str, path: &str, status: u16, body: &[u8]) -> Vec<String> {
        let answer = &self.operation(method, path)["responses"][status.to_string()];
        let schema = &Self::resolved(answer, "responses", &self.responses)["content"]["application/json"]["schema"];
        if schema.is_null() { Vec::new() } else { self.problems(Direction::Answer, schema, body) }
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        let operation = &self.paths[path][method.to_ascii_lowercase()];
        assert!(operation.is_object(), "the description has no {method} {path}");
        operation
    }

    fn resolved<'a>(value: &'a Value, kind: &str, all: &'a Value) -> &'a Value {
        let name =
            value["$ref"].as_str().and_then(|reference| reference.strip_prefix(&format!("#/components/{kind}/")));
        name.map_or(value, |name| &all[name])
    }

    fn unknown_parameters(&self, method: &str, path: &str, query: &str) -> Vec<String> {
        let own = self.operation(method, path)["parameters"].as_array();
        let shared = self.paths[path]["parameters"].as_array();
        let all = own.into_iter().chain(shared).flatten();
        let known: BTreeSet<&str> = all
            .map(|parameter| Self::resolved(parameter, "parameters", &self.parameters))
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let url = reqwest::Url::parse(&format!("query:?{query}")).expect("a query");
        let names = url.query_pairs().map(|(name, _)| name.into_owned());
        names.filter(|name| !known.contains(name.as_str())).map(|name| format!("unknown parameter {name}")).collect()
    }

    fn problems(&self, direction: Direction, schema: &Value, body: &[u8]) -> Vec<String> {
        let document: Value = match serde_json::from_slice(body) {
            Ok(document) => document,
            Err(error) => return vec![error.to_string()],
        };
        let validator = self.validator(direction, schema);
        let told = |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
        validator.iter_errors(&document).map(told).collect()
    }

    fn validator(&self, direction: Direction, schema: &Value) -> &'static Validator {
        let mut validators = self.validators.lock().expect("nothing panics while the validators are held");
        let build = || {
            let schemas = match direction {
                Direction::Request => &self.request_schemas,
                Direction::Answer => &self.answer_schemas,
            };
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "allOf": [convert(schema, direction)],
                "components": {"schemas": schemas},
            });
            let built = jsonschema::options().should_validate_formats(true).build(&whole);
            // A handful, for the whole run.
            &*Box::leak(Box::new(built.expect("the description holds schemas")))
        };
        validators.entry((direction, schema.to_string())).or_insert_with(build)
    }
}

fn converted(schemas: &Value, direction: Direction) -> Value {
    let all = schemas.as_object().into_iter().flatten();
    all.map(|(name, schema)| (name.clone(), convert(schema, direction))).collect::<Map<_, _>>().into()
}

/// One schema in the words of JSON Schema; what it leaves to others stays a reference.
fn convert(schema: &Value, direction: Direction) -> Value {
    let Some(members) = schema.as_object() else { return schema.clone() };
    let hidden = match direction {
        Direction::Request => "readOnly",
        Direction::Answer => "writeOnly",
    };
    if members.get(hidden) == Some(&json!(true)) {
        return json!(false);
    }
    let is_nullable = members.get("nullable") == Some(&json!(true));
    let mut out = Map::new();
    for (name, value) in members {
        let value = match name.as_str() {
            "properties" => value
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, property)| (name.clone(), convert(property, direction)))
                .collect::<Map<_, _>>()
                .into(),
            "items" | "additionalProperties" | "not" => convert(value, direction),
            "allOf" | "anyOf" | "oneOf" => {
                value.as_array().into_iter().flatten().map(|one| convert(one, direction)).collect()
            }
            "type" if is_nullable => json!([value, "null"]),
            "enum" if is_nullable => value.as_array().into_iter().flatten().cloned().chain([Value::Null]).collect(),
            "type" | "enum" | "$ref" | "required" | "format" | "pattern" | "maxLength" | "minLength" | "maximum"
            | "minimum" | "maxItems" | "minItems" | "multipleOf" => value.clone(),
            _ => continue,
        };
        out.insert(name.clone(), value);
    }
    let is_closed = direction == Direction::Request && out.contains_key("properties");
    if is_closed && !out.contains_key("additionalProperties") {
        out.insert("additionalProperties".to_owned(), json!(false));
    }
    out.into()
}

/// One line for each problem, with where it was found.
pub fn report(found: &[(String, Vec<String>)]) -> String {
    let mut text = String::new();
    for (place, problems) in found {
        for problem in problems {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{place}: {problem}");
        }
    }
    text
}

const SAMPLE: &str = "
paths:
  /Things:
    parameters:
      - $ref: '#/components/parameters/tenant'
    get:
      parameters:
        - {in: query, name: page, schema: {type: integer}}
      responses:
        '200': {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
    put:
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
      responses:
        '400': {$ref: '#/components/responses/Error'}
components:
  parameters:
    tenant: {in: header, name: tenant, schema: {type: string}}
  responses:
    Error: {content: {application/json: {schema: {$ref: '#/components/schemas/Error'}}}}
  schemas:
    Error: {type: object, required: [Message], properties: {Message: {type: string}}}
    Code: {type: string, enum: [NO, GB], x-enum-varnames: [NO, GB]}
    Thing:
      properties:
        Id: {type: string, format: uuid}
        Code: {$ref: '#/components/schemas/Code', type: string}
        Total: {type: number, format: double, readOnly: true, example: 2.00}
        Note: {type: string, nullable: true, maxLength: 3}
        Parent: {$ref: '#/components/schemas/Thing'}
      type: object
";

#[test]
fn a_description_tells_right_requests_and_answers_from_wrong_ones() {
    let description = Description::read(SAMPLE);
    let request = |body: &str| description.problems_of_request("PUT", "/Things", "", body.as_bytes());
    let answer = |body: &str| description.problems_of_answer("GET", "/Things", 200, body.as_bytes());
    let id = "0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1101";

    assert_eq!(request(r#"{"Code":"NO","Note":null,"Parent":{"Code":"GB"}}"#), [""; 0]);
    for wrong in [
        r#"{"Code":"FR"}"#,
        r#"{"Total":1}"#,
        r#"{"Parent":{"Total":1}}"#,
        r#"{"Unknown":1}"#,
        r#"{"Note":"four"}"#,
        r#"{"Id":"1"}"#,
        "{",
    ] {
        assert_eq!(request(wrong).len(), 1, "{wrong}: {:?}", request(wrong));
    }
    assert_eq!(answer(&format!(r#"{{"Id":"{id}","Total":18.00,"More":[]}}"#)), [""; 0]);
    assert_eq!(answer(r#"{"Total":"18.00"}"#).len(), 1);
    assert_eq!(description.problems_of_answer("PUT", "/Things", 400, b"{}").len(), 1);
    assert_eq!(description.problems_of_answer("PUT", "/Things", 429, b"slow down"), [""; 0]);
    assert_eq!(description.problems_of_request("GET", "/Things", "page=1&size=2", b""), ["unknown parameter size"]);
    assert_eq!(description.problems_of_request("GET", "/Things", "", b"{}").len(), 1);
}
