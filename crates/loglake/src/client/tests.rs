use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes as AxumBytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode as Status};
use axum::response::{IntoResponse, Response as AxumResponse};
use axum::routing::post;

use super::*;

/// Serves `routes` on a free port.
pub(crate) async fn serve(routes: Router) -> ServerArgs {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    ServerArgs { url, token: Some("secret".into()) }
}

async fn busy_once(
    State(calls): State<Arc<AtomicUsize>>,
    Path(table): Path<String>,
    headers: HeaderMap,
    body: AxumBytes,
) -> AxumResponse {
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(table, "web logs");
    assert_eq!(headers["content-encoding"], "zstd");
    assert_eq!(zstd::decode_all(&body[..]).unwrap(), b"{}\nx\n");
    if calls.fetch_add(1, Ordering::SeqCst) == 0 {
        return (Status::TOO_MANY_REQUESTS, [("retry-after", "0")], "").into_response();
    }
    let answer = r#"{"stored":1,"rejected":1,"errors":[{"line":2,"reason":"no object"}]}"#;
    answer.into_response()
}

#[tokio::test]
async fn the_same_bytes_are_sent_again_when_the_lake_is_busy() {
    let calls = Arc::new(AtomicUsize::new(0));
    let routes = Router::new()
        .route("/api/v1/ingest/{table}", post(busy_once))
        .with_state(Arc::clone(&calls));
    let client = Client::new(&serve(routes).await).unwrap();
    let mut uploader = Uploader::new(client, "web logs", Encoding::Zstd, 2);
    let ndjson = Bytes::from_static(b"{}\nx\n");
    assert!(uploader.make_room().await.is_none());
    uploader.start(Body { ndjson, origin: "here" });
    let sent = uploader.next().await.unwrap().unwrap();
    assert_eq!((sent.origin, sent.ingested.stored, sent.ingested.rejected), ("here", 1, 1));
    assert_eq!(sent.ingested.errors[0].line, 2);
    assert!(!sent.ingested.maybe_doubled);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(uploader.next().await.is_none());
}

#[tokio::test]
async fn a_refusal_tells_the_place_of_the_mistake() {
    let routes = Router::new().route(
        "/lake/api/v1/sql",
        post(|| async {
            let body =
                r#"{"error":{"kind":"invalid","message":"no such column","line":2,"column":8}}"#;
            (Status::BAD_REQUEST, body)
        }),
    );
    let mut args = serve(routes).await;
    args.url += "/lake/";
    let answer = Client::new(&args).unwrap().query("SELECT\n lvl").await;
    let Err(ClientError::Refused(refusal)) = answer else { panic!("not refused") };
    assert_eq!((refusal.message.as_str(), refusal.position), ("no such column", Some((2, 8))));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    for url in ["", "lake:9400", "ftp://lake"] {
        let args = ServerArgs { url: url.into(), token: None };
        assert!(matches!(Client::new(&args), Err(ClientError::Url { .. })), "{url:?}");
    }
}
