//! How a sink of kind `lightspeed` gets its tokens: a personal one, or an application's.

use serde::Serialize;

use crate::config::{
    field::Field,
    problems::Section,
    secret::{RawSecret, Secret},
    url::HttpUrl,
};

const KEYS: [&str; 4] = ["token", "client_id", "client_secret", "refresh_token"];

/// Source: Lightspeed, "Authorization": the shop's own host hands out tokens at this path.
const TOKEN_PATH: &str = "/api/1.0/token";

pub(super) struct RawAccess {
    pub token: Field<RawSecret>,
    pub client_id: Field<RawSecret>,
    pub client_secret: Field<RawSecret>,
    pub refresh_token: Field<RawSecret>,
    pub token_url: Field<HttpUrl>,
}

/// How the shop is entered.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Access {
    /// A person's token, which lives long.
    Personal { token: Secret },
    /// An application that a person has permitted: each refresh token is good for one use.
    Application(Application),
}

#[derive(Debug, Clone, Serialize)]
pub struct Application {
    pub client_id: Secret,
    pub client_secret: Secret,
    /// The first one. Those that replace it live in the database.
    pub refresh_token: Secret,
    pub token_url: HttpUrl,
}

impl Access {
    pub fn token_url(&self) -> Option<&HttpUrl> {
        match self {
            Self::Personal { .. } => None,
            Self::Application(application) => Some(&application.token_url),
        }
    }
}

impl RawAccess {
    pub(super) fn validate(self, base_url: Option<&HttpUrl>, section: &mut Section<'_>) -> Option<Access> {
        let is_personal = !self.token.is_absent();
        let of_application = [
            ("client_id", self.client_id.is_absent()),
            ("client_secret", self.client_secret.is_absent()),
            ("refresh_token", self.refresh_token.is_absent()),
        ];
        let named: Vec<&str> = of_application.iter().filter(|(_, absent)| !absent).map(|(key, _)| *key).collect();
        let token = section.secret("token", self.token);
        // An id is no secret: it may stand in the file.
        let client_id = section.take("client_id", self.client_id).and_then(|raw| section.read_secret("client_id", raw));
        let client_secret = section.secret("client_secret", self.client_secret);
        let refresh_token = section.secret("refresh_token", self.refresh_token);
        let token_url = section.take("token_url", self.token_url).or_else(|| {
            let base = base_url?.as_url().as_str().trim_end_matches('/').to_owned();
            HttpUrl::parse(&format!("{base}{TOKEN_PATH}")).ok()
        });
        let none_is_wrong = section.none_about(&KEYS);
        if is_personal && !named.is_empty() && none_is_wrong {
            section.problem(
                "token",
                format!(
                    "is a personal token, and `{}` belongs to an application: only one of the two is used",
                    named[0]
                ),
                "keep `token`, or `client_id`, `client_secret` and `refresh_token`",
            );
        }
        if !is_personal && named.is_empty() {
            section.problem(
                "token",
                "is missing, and so is an application: nobody could enter the shop",
                "add `token = { env = \"LIGHTSPEED_TOKEN\" }`, or `client_id`, `client_secret` and `refresh_token`",
            );
        }
        let lacking = of_application.iter().filter(|(_, absent)| *absent && !is_personal && !named.is_empty());
        for (key, _) in lacking {
            section.missing(key, &format!("{key} = {{ env = \"LIGHTSPEED_{}\" }}", key.to_uppercase()));
        }
        match (token, client_id, client_secret, refresh_token, token_url) {
            (Some(token), ..) => Some(Access::Personal { token }),
            (None, Some(client_id), Some(client_secret), Some(refresh_token), Some(token_url)) => {
                Some(Access::Application(Application { client_id, client_secret, refresh_token, token_url }))
            }
            _ => None,
        }
    }
}
