//! Requests as an operator writes them down: a method and a path with places to fill in.
//!
//! A template may be shown; what [`Template::url`] makes of it may not, because a token or key can be part of it.

use std::fmt::{self, Write as _};

use reqwest::{Method, Url};
use serde::{Serialize, Serializer};

use crate::config::{HttpUrl, field::Wrong};

/// What can stand in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The access token, of API v1.
    Token,
    /// GoDataFeed's own id of an order.
    Order,
    /// The consumer key.
    Key,
}

impl Place {
    const ALL: [Self; 3] = [Self::Token, Self::Order, Self::Key];

    const fn text(self) -> &'static str {
        match self {
            Self::Token => "{t}",
            Self::Order => "{gdf_id}",
            Self::Key => "{key}",
        }
    }
}

/// A method and a path that begins with a slash and has exactly the places it was checked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    method: Method,
    path: String,
}

impl Template {
    /// `text` as `"PUT /v1/{t}/orders/{gdf_id}/status"`.
    pub fn parse(text: &str, places: &[Place]) -> Result<Self, Wrong> {
        let example = || {
            let places: Vec<&str> = places.iter().map(|place| place.text()).collect();
            match places.as_slice() {
                [] => "write a method and a path, as \"GET /v2/orders\"".to_owned(),
                places => format!("write a method and a path with {}", places.join(" and ")),
            }
        };
        let Some((method, path)) = text.split_once(' ') else {
            return Err(Wrong::new("is not a method and a path", example()));
        };
        let method = match method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            _ => return Err(Wrong::new("does not begin with GET, POST, PUT or PATCH", example())),
        };
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !path.starts_with('/') || path.starts_with("//") || !is_plain {
            return Err(Wrong::new("has no path that begins with one slash and is plain", example()));
        }
        let mut rest = path.to_owned();
        for place in Place::ALL {
            let n = path.matches(place.text()).count();
            let wanted = usize::from(places.contains(&place));
            if n != wanted {
                let times = if n > wanted { "must not have" } else { "needs" };
                let once = if n > 1 && wanted == 1 { " more than once" } else { "" };
                return Err(Wrong::new(format!("{times} `{}`{once}", place.text()), example()));
            }
            rest = rest.replace(place.text(), "");
        }
        if rest.contains(['{', '}']) {
            return Err(Wrong::new("has a place in braces that is not known", example()));
        }
        Ok(Self { method, path: path.to_owned() })
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The address with these places filled in. None where a value cannot stand in an address, as a path of dots.
    pub fn url(&self, base: &HttpUrl, places: &[(Place, &str)]) -> Option<Url> {
        let mut path = self.path.clone();
        for (place, value) in places {
            path = path.replace(place.text(), &encoded(value)?);
        }
        Url::parse(&format!("{}{path}", base.base())).ok()
    }
}

/// For a part of a path or query alike.
fn encoded(value: &str) -> Option<String> {
    if matches!(value, "" | "." | "..") {
        return None; // it would change the path
    }
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => write!(text, "%{byte:02X}").ok()?,
        }
    }
    Some(text)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> HttpUrl {
        HttpUrl::parse("https://api.godatafeed.com/").unwrap()
    }

    #[test]
    fn places_are_filled_in_and_cannot_leave_their_segment() {
        let template = Template::parse("PUT /v1/{t}/orders/{gdf_id}/status", &[Place::Token, Place::Order]).unwrap();

        let url = template.url(&base(), &[(Place::Token, "a/b{gdf_id}"), (Place::Order, "G?1#ü")]).unwrap();

        assert_eq!(url.as_str(), "https://api.godatafeed.com/v1/a%2Fb%7Bgdf_id%7D/orders/G%3F1%23%C3%BC/status");
        assert_eq!(template.method(), Method::PUT);
        for id in ["", ".", ".."] {
            assert_eq!(template.url(&base(), &[(Place::Token, "t"), (Place::Order, id)]), None, "{id:?}");
        }
    }

    #[test]
    fn what_is_not_a_request_with_its_places_is_refused() {
        let refused = [
            "/v1/{t}/orders",
            "DELETE /v1/{t}/orders",
            "GET v1/{t}/orders",
            "GET //elsewhere/{t}",
            "GET /v1/orders",
            "GET /v1/{t}/{t}",
            "GET /v1/{t}/{gdf_id}",
            "GET /v1/{t}/{token}",
            "GET /v1/{t}/a b",
            "GET /v1/{t}#x",
        ];
        for text in refused {
            assert!(Template::parse(text, &[Place::Token]).is_err(), "{text}");
        }
        assert!(Template::parse("GET /v2/orders?status=NEW", &[]).is_ok());
    }
}
