//! A server on loopback stands in for the platform; it records every request and answers as told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, header},
    response::{IntoResponse, Response as Answer},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const EMPTY_PAGE: &str = r#"{"data":[],"hasMore":false,"nextPageId":"c-1"}"#;
const EMPTY_STREAM: &str = r#"{"data":[],"hasMore":false}"#;

#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    path: String,
    /// Decoded, in order.
    query: Vec<(String, String)>,
    raw_query: String,
    headers: header::HeaderMap,
}

impl Seen {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn authorization(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()
    }
}

type Answering = dyn Fn(&Seen) -> Answer + Send + Sync;

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Answering>,
}

impl Server {
    async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, seen: Arc::default(), answer: Arc::new(answer) };
        let router = Router::new().fallback(Self::record).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    #[allow(clippy::unused_async, reason = "a handler")]
    async fn record(State(server): State<Self>, request: Request) -> Answer {
        let raw_query = request.uri().query().unwrap_or_default().to_owned();
        let url = Url::parse(&format!("http://x/?{raw_query}")).unwrap();
        let seen = Seen {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            raw_query,
            headers: request.headers().clone(),
        };
        let answer = (server.answer)(&seen);
        server.seen.lock().unwrap().push(seen);
        answer
    }

    fn base_url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).unwrap()
    }

    fn client(&self) -> ScoffableClient {
        client(self.base_url())
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }
}

fn settings(base_url: Url) -> ClientSettings {
    ClientSettings {
        base_url,
        token: SecretString::from("secret-token"),
        page_size: 100,
        min_age_minutes: 0,
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        user_agent: "scoffable-sync/test".to_owned(),
    }
}

fn client(base_url: Url) -> ScoffableClient {
    ScoffableClient::new(settings(base_url), Clock::default()).unwrap()
}

fn cursor(text: &str) -> Position {
    Position::Cursor(text.to_owned())
}

async fn answering(status: u16, body: &'static str) -> Server {
    Server::start(move |_| (StatusCode::from_u16(status).unwrap(), body).into_response()).await
}

/// The error that an answer leads to, at a position.
async fn error(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    at: &Position,
) -> FetchError {
    let server = Server::start(move |_| {
        let mut answer = (StatusCode::from_u16(status).unwrap(), body).into_response();
        for (name, value) in headers {
            answer.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        answer
    })
    .await;
    server.client().fetch(at).await.unwrap_err()
}

/// A raw server that reads one request, writes `answer` and closes.
async fn raw_server(answer: Vec<u8>) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = connection.read(&mut request).await;
        let _ = connection.write_all(&answer).await;
        let _ = connection.shutdown().await;
    });
    url
}

mod transport {
    use super::*;

    #[tokio::test]
    async fn every_request_is_a_get_with_the_bearer_token() {
        let server = answering(200, EMPTY_PAGE).await;
        let client = server.client();
        for position in [Position::Oldest, cursor("c"), Position::From("2026-01-01T00:00:00Z".parse().unwrap())] {
            client.fetch(&position).await.unwrap();
        }

        assert_eq!(server.seen().len(), 3);
        for seen in server.seen() {
            assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/v1/orderUpdates"));
            assert_eq!(seen.authorization(), Some("Bearer secret-token"));
            assert_eq!(seen.headers[header::USER_AGENT], "scoffable-sync/test");
        }
    }

    #[tokio::test]
    async fn a_base_url_may_have_a_path_of_its_own() {
        let server = answering(200, EMPTY_PAGE).await;
        for base in ["/proxy", "/proxy/"] {
            client(server.base_url().join(base).unwrap()).fetch(&Position::Oldest).await.unwrap();
            assert_eq!(server.last().path, "/proxy/v1/orderUpdates");
        }
    }

    #[tokio::test]
    async fn a_redirect_to_another_host_does_not_carry_the_credential() {
        let other = answering(200, EMPTY_PAGE).await;
        for status in [301, 302, 303, 307, 308] {
            let target = other.base_url().to_string();
            let server = Server::start(move |_| {
                (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, target.clone())]).into_response()
            })
            .await;
            let error = server.client().fetch(&Position::Oldest).await.unwrap_err();
            assert!(matches!(error, FetchError::Redirected { status: s } if s == status), "{error:?}");
        }
        assert_eq!(other.seen().len(), 0);
    }

    #[tokio::test]
    async fn a_rejected_credential_is_told_apart_and_a_new_one_works_at_once() {
        let server = Server::start(|seen| match seen.authorization() {
            Some("Bearer fresh-token") => EMPTY_PAGE.into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        })
        .await;
        let client = server.client();
        let refused = client.fetch(&cursor("c")).await.unwrap_err();
        assert!(matches!(refused, FetchError::Unauthorized { status: 401 }));

        client.set_token(&SecretString::from("fresh-token")).unwrap();
        assert!(client.fetch(&cursor("c")).await.is_ok());
        assert!(matches!(error(403, &[], "", &cursor("c")).await, FetchError::Unauthorized { status: 403 }));
    }

    #[tokio::test]
    async fn a_token_that_no_header_can_carry_is_refused_and_the_old_one_stays() {
        let server = answering(200, EMPTY_PAGE).await;
        let client = server.client();
        for bad in ["", "two\nlines", "nul\0"] {
            assert_eq!(client.set_token(&SecretString::from(bad)), Err(InvalidToken));
            let unusable = ClientSettings { token: SecretString::from(bad), ..settings(server.base_url()) };
            assert!(matches!(ScoffableClient::new(unusable, Clock::default()), Err(ClientError::Token(InvalidToken))));
        }
        client.fetch(&Position::Oldest).await.unwrap();
        assert_eq!(server.last().authorization(), Some("Bearer secret-token"));
    }

    #[tokio::test]
    async fn neither_token_nor_cursor_appears_in_errors_or_debug_output() {
        let unreachable = client(Url::parse("http://127.0.0.1:1").unwrap());
        let position = cursor("cursor-0123456789-and-more");
        let failed = unreachable.fetch(&position).await.unwrap_err();

        let chain = format!("{:#}", anyhow::Error::from(failed));
        let failed = unreachable.fetch(&position).await.unwrap_err();
        for shown in [
            chain,
            format!("{failed:?}"),
            format!("{unreachable:?}"),
            format!("{:?}", settings(Url::parse("http://x").unwrap())),
        ] {
            assert!(!shown.contains("secret-token"), "{shown}");
            assert!(!shown.contains("and-more"), "{shown}");
        }
        assert_eq!(format!("{position:?}"), "Cursor(cursor-01234…)");
    }

    #[tokio::test]
    async fn faults_on_the_way_are_transient() {
        let nobody = client(Url::parse("http://127.0.0.1:1").unwrap()).fetch(&cursor("c")).await.unwrap_err();
        assert!(matches!(nobody, FetchError::Transient { fault: Fault::Connect, .. }), "{nobody:?}");

        let cut_short = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":[".to_vec()).await;
        let cut_short = client(cut_short).fetch(&cursor("c")).await.unwrap_err();
        assert!(matches!(cut_short, FetchError::Transient { fault: Fault::Interrupted, .. }), "{cut_short:?}");

        let closed = raw_server(Vec::new()).await;
        let closed = client(closed).fetch(&cursor("c")).await.unwrap_err();
        assert!(matches!(closed, FetchError::Transient { fault: Fault::Interrupted, .. }), "{closed:?}");
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_a_timeout() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let impatient = ClientSettings { timeout: Duration::from_millis(50), ..settings(base_url) };
        let client = ScoffableClient::new(impatient, Clock::default()).unwrap();

        let error = client.fetch(&cursor("c")).await.unwrap_err();
        assert!(matches!(error, FetchError::Transient { fault: Fault::Timeout, .. }), "{error:?}");
    }

    #[tokio::test]
    async fn every_refusal_has_its_class() {
        for status in [408, 425, 500, 502, 503, 504] {
            let error = error(status, &[("retry-after", "7")], "", &cursor("c")).await;
            let seven = Some(Duration::from_secs(7));
            assert!(
                matches!(error, FetchError::Transient { fault: Fault::Status(s), retry_after, .. } if s == status && retry_after == seven),
                "{error:?}"
            );
        }
        for status in [402, 405, 406, 409, 418, 422, 451] {
            let error = error(status, &[], "", &cursor("c")).await;
            assert!(matches!(error, FetchError::Permanent { status: s } if s == status), "{error:?}");
        }
        assert!(matches!(error(400, &[], "", &Position::Oldest).await, FetchError::BadRequest));
        assert!(matches!(error(404, &[], "", &Position::Oldest).await, FetchError::Permanent { status: 404 }));
        assert!(matches!(error(304, &[], "", &Position::Oldest).await, FetchError::Redirected { status: 304 }));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_a_page_is_malformed() {
        for body in
            ["", "<html>maintenance</html>", "{}", r#"{"data":[]}"#, r#"{"hasMore":true}"#, r#"{"data":[{"id":1"#]
        {
            let error = error(200, &[], body, &cursor("c")).await;
            assert!(matches!(error, FetchError::Malformed(_)), "{body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_page_is_read_up_to_the_limit_and_not_beyond() {
        let page_of = |bytes: usize| {
            let frame = r#"{"data":[],"hasMore":false,"nextPageId":"c","x":""}"#;
            frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
        };
        for announced in [true, false] {
            for (bytes, fits) in [(MAX_PAGE_BYTES, true), (MAX_PAGE_BYTES + 1, false)] {
                let page = page_of(bytes);
                let server = Server::start(move |_| {
                    if announced {
                        return page.clone().into_response();
                    }
                    let chunks = page.as_bytes().chunks(1 << 20).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
                    Body::from_stream(futures::stream::iter(chunks.collect::<Vec<_>>())).into_response()
                })
                .await;
                let result = server.client().fetch(&Position::Oldest).await;
                assert_eq!(result.is_ok(), fits, "{bytes} bytes, announced: {announced}");
                assert!(fits || matches!(result, Err(FetchError::TooLarge)));
            }
        }
    }
}

mod paging {
    use super::*;

    #[tokio::test]
    async fn the_page_size_is_sent_and_refused_outside_its_range() {
        let server = answering(200, EMPTY_PAGE).await;
        server.client().fetch(&Position::Oldest).await.unwrap();
        assert_eq!(server.last().parameter("pageSize"), Some("100"));

        for (page_size, accepted) in [(0, false), (1, true), (100, true), (101, false)] {
            let settings = ClientSettings { page_size, ..settings(server.base_url()) };
            let result = ScoffableClient::new(settings, Clock::default());
            assert_eq!(result.is_ok(), accepted, "{page_size}");
        }
    }

    #[tokio::test]
    async fn a_request_names_a_start_or_a_cursor_or_neither_but_never_both() {
        let server = answering(200, EMPTY_PAGE).await;
        let client = server.client();

        client.fetch(&Position::Oldest).await.unwrap();
        assert_eq!(server.last().raw_query, "pageSize=100");

        client.fetch(&Position::From("2026-03-01T13:00:00.987+01:00".parse().unwrap())).await.unwrap();
        assert_eq!(server.last().parameter("fromTimestamp"), Some("2026-03-01T12:00:00Z"));
        assert_eq!(server.last().parameter("pageId"), None);

        client.fetch(&cursor("c-1")).await.unwrap();
        assert_eq!(server.last().raw_query, "pageSize=100&pageId=c-1");
    }

    #[tokio::test]
    async fn the_delay_is_repeated_on_every_request_and_omitted_at_zero() {
        let server = answering(200, EMPTY_PAGE).await;
        let delayed = ClientSettings { min_age_minutes: 90, ..settings(server.base_url()) };
        let delayed = ScoffableClient::new(delayed, Clock::default()).unwrap();
        for position in [Position::Oldest, cursor("c")] {
            delayed.fetch(&position).await.unwrap();
            assert_eq!(server.last().parameter("minAgeMinutes"), Some("90"));
            server.client().fetch(&position).await.unwrap();
            assert_eq!(server.last().parameter("minAgeMinutes"), None);
        }
    }

    #[tokio::test]
    async fn a_cursor_of_any_characters_and_length_survives_the_way() {
        let server = Server::start(|seen| {
            let next = seen.parameter("pageId").unwrap();
            serde_json::json!({"data": [], "hasMore": false, "nextPageId": next}).to_string().into_response()
        })
        .await;
        let long = "0123456789abcdefghi+".repeat(15);
        assert_eq!(long.len(), 300);
        for text in [long.as_str(), "a+/=&%", "%2B%26", "a b#c?d", "ä🍜\"\\", "a;b,c'(d)"] {
            let page = server.client().fetch(&cursor(text)).await.unwrap();
            assert_eq!(server.last().parameter("pageId"), Some(text));
            assert_eq!(server.last().query.len(), 2);
            assert_eq!(page.next_page_id.as_deref(), Some(text));
        }
    }

    #[tokio::test]
    async fn a_page_is_handed_on_as_it_is() {
        let body = r#"{"data":[{"id":1,"version":1},{"id":2,"version":1}],"hasMore":true,"nextPageId":"c-2"}"#;
        let page = answering(200, body).await.client().fetch(&cursor("c-1")).await.unwrap();
        assert_eq!((page.orders.len(), page.has_more, page.next_page_id.as_deref()), (2, true, Some("c-2")));
        assert_eq!(page.orders[1].as_bytes(), br#"{"id":2,"version":1}"#);
    }

    #[tokio::test]
    async fn an_empty_stream_without_a_cursor_is_an_empty_page() {
        let page = answering(200, EMPTY_STREAM).await.client().fetch(&Position::Oldest).await.unwrap();
        assert_eq!((page.orders.len(), page.has_more, page.next_page_id), (0, false, None));
    }

    #[tokio::test]
    async fn a_dead_cursor_is_suspected_in_each_of_its_forms() {
        for status in [400, 404, 410] {
            let error = error(status, &[], "", &cursor("c")).await;
            assert!(matches!(error, FetchError::CursorSuspect { status: s } if s == status), "{error:?}");
        }
        let error = error(200, &[], EMPTY_STREAM, &cursor("c")).await;
        assert!(matches!(error, FetchError::CursorSuspect { status: 200 }), "{error:?}");
    }

    #[tokio::test]
    async fn orders_without_a_next_cursor_are_a_page_all_the_same() {
        let body = r#"{"data":[{"id":1,"version":1}],"hasMore":false}"#;
        let page = answering(200, body).await.client().fetch(&cursor("c")).await.unwrap();
        assert_eq!((page.orders.len(), page.next_page_id), (1, None));
    }
}

mod limits {
    use super::*;

    async fn throttled(
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) -> (Option<u64>, ThrottleScope) {
        match error(429, headers, body, &cursor("c")).await {
            FetchError::Throttled { retry_after, scope } => (retry_after.map(|wait| wait.as_secs()), scope),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_wait_may_be_seconds_or_a_date_and_garbage_is_none() {
        let body = r#"{"error":"too many calls","limitType":"jti","limit":30}"#;
        assert_eq!(throttled(&[("retry-after", "42")], body).await.0, Some(42));
        let dates = &[("date", "Sun, 01 Mar 2026 12:00:00 GMT"), ("retry-after", "Sun, 01 Mar 2026 12:00:42 GMT")];
        assert_eq!(throttled(dates, body).await.0, Some(42));
        assert_eq!(throttled(&[("retry-after", "in a while")], body).await.0, None);
        assert_eq!(throttled(&[], body).await.0, None);
    }

    #[tokio::test]
    async fn only_the_limit_of_the_token_spares_the_account() {
        let table = [
            (r#"{"error":"x","limitType":"jti","limit":30}"#, ThrottleScope::Token),
            (r#"{"error":"x","limitType":"sub","limit":60}"#, ThrottleScope::Account),
            (r#"{"limitType":"galaxy"}"#, ThrottleScope::Account),
            (r#"{"limitType":7}"#, ThrottleScope::Account),
            (r"{}", ThrottleScope::Account),
        ];
        for (body, scope) in table {
            assert_eq!(throttled(&[], body).await.1, scope, "{body}");
        }
    }

    #[tokio::test]
    async fn a_refusal_without_a_readable_body_pauses_the_account() {
        for body in ["", "slow down", "<html>"] {
            assert_eq!(throttled(&[("retry-after", "5")], body).await, (Some(5), ThrottleScope::Account));
        }
        let cut_short = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 99\r\n\r\n{".to_vec();
        let error = client(raw_server(cut_short).await).fetch(&cursor("c")).await.unwrap_err();
        let five = Some(Duration::from_secs(5));
        assert!(
            matches!(error, FetchError::Throttled { retry_after, scope: ThrottleScope::Account } if retry_after == five)
        );
    }
}
