//! A small HTTP/1.1 server with a table of routes: `mi_http` is one page of it, `/metrics` and `/readyz` can be others.
//!
//! Every connection is a task of its own with a limit on everything: the time for the request's head and body, the time a
//! reply may stall, the size of a body, and the number of connections. Only GET and POST are routed; statuses, headers and
//! their order are those of the httpd module that clients know.

mod date;
mod stalls;

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::Version;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
pub use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use stalls::Stalling;

/// The limits of the server.
#[derive(Clone, Debug)]
pub struct HttpdOptions {
    /// How many bytes the body of a request may have.
    pub body_limit: usize,
    /// How many connections may be open; one more is closed at once.
    pub connection_limit: usize,
    /// How long a client may take for the head of a request, an idle connection included.
    pub head_timeout: Duration,
    /// How long a client may take for the body of a request.
    pub body_timeout: Duration,
    /// How long a reply may wait for its reader.
    pub stall_timeout: Duration,
}

impl Default for HttpdOptions {
    fn default() -> Self {
        Self {
            body_limit: 1024 * 1024,
            connection_limit: 256,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// A request as a page sees it.
#[derive(Debug)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// What follows `?`.
    pub query: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<Vec<u8>>,
    /// The whole body.
    pub body: Bytes,
}

/// What a page answers.
#[derive(Debug)]
pub enum Page {
    /// A reply with its length in the head.
    Full {
        /// The status code.
        status: StatusCode,
        /// The `Content-Type` header.
        content_type: Cow<'static, str>,
        /// The body.
        body: Vec<u8>,
    },
    /// A reply with an empty chunked body.
    Empty {
        /// The status code.
        status: StatusCode,
        /// The `Content-Type` header.
        content_type: Cow<'static, str>,
    },
    /// No reply: the connection is closed.
    HangUp,
}

impl Page {
    /// A short text in HTML.
    fn html(status: StatusCode, text: &'static str) -> Self {
        let body = format!("<html><body>{text}</body></html>").into_bytes();
        Self::Full { status, content_type: Cow::Borrowed("text/html"), body }
    }
}

/// What serves a path.
pub type Handler = Rc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Page>>>>;

/// Which handler serves which path.
#[derive(Clone, Default)]
pub struct Routes {
    list: Vec<(String, Handler)>,
}

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `handler` serve `/root` and everything below it. Slashes around `root` do not matter.
    pub fn add<F>(&mut self, root: &str, handler: impl Fn(Request) -> F + 'static)
    where
        F: Future<Output = Page> + 'static,
    {
        let root = root.trim_matches('/').to_owned();
        self.list.push((root, Rc::new(move |request| Box::pin(handler(request)))));
    }

    /// The handler with the longest root that fits.
    fn find(&self, path: &str) -> Option<&Handler> {
        let path = path.strip_prefix('/')?;
        let fits =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let fitting = self.list.iter().filter(|(root, _)| fits(root));
        fitting.max_by_key(|(root, _)| root.len()).map(|(_, handler)| handler)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|(root, _)| root)).finish()
    }
}

/// Serves connections from a listening socket until its task ends.
///
/// # Errors
/// The socket cannot be put into the runtime.
pub async fn serve(listener: std::net::TcpListener, routes: Routes, options: HttpdOptions) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (routes, options, open) = (Rc::new(routes), Rc::new(options), Rc::new(Cell::new(0)));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!("httpd: cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if open.get() >= options.connection_limit {
            tracing::warn!("httpd: closed a connection, {} are open", open.get());
            continue;
        }
        let open = Open::one_of(&open);
        let connection = connection(stream, Rc::clone(&routes), Rc::clone(&options));
        tokio::task::spawn_local(async move {
            connection.await;
            drop(open);
        });
    }
}

/// How long to wait when a connection cannot be accepted, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts an open connection.
struct Open(Rc<Cell<usize>>);

impl Open {
    fn one_of(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn connection(stream: TcpStream, routes: Rc<Routes>, options: Rc<HttpdOptions>) {
    // Replies are written whole; waiting to join them with the next one only adds delay.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Stalling::new(stream, options.stall_timeout));
    let head_timeout = options.head_timeout;
    let service = service_fn(move |request| exchange(request, Rc::clone(&routes), Rc::clone(&options)));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_timeout).title_case_headers(true);
    if let Err(error) = server.serve_connection(stream, service).await {
        tracing::debug!("httpd: connection ended: {error}");
    }
}

/// The page asked the connection to be closed without a reply.
#[derive(Debug, thiserror::Error)]
#[error("closed without a reply")]
struct HungUp;

async fn exchange(
    request: hyper::Request<Incoming>,
    routes: Rc<Routes>,
    options: Rc<HttpdOptions>,
) -> Result<hyper::Response<PageBody>, HungUp> {
    let close = wants_close(&request);
    let (page, close) = match page_for(request, &routes, &options).await {
        Ok(page) => (page, close),
        Err(refusal) => (refusal, true),
    };
    let (status, content_type, body) = match page {
        Page::Full { status, content_type, body } => (status, content_type, PageBody::Full(body.into())),
        Page::Empty { status, content_type } => (status, content_type, PageBody::Empty),
        Page::HangUp => return Err(HungUp),
    };
    let mut response = hyper::Response::builder().status(status).header(DATE, date::now());
    if close {
        response = response.header(CONNECTION, "close");
    }
    response = response.header(CONTENT_TYPE, &*content_type);
    if let PageBody::Full(bytes) = &body {
        response = response.header(CONTENT_LENGTH, bytes.len());
    }
    response.body(body).map_err(|_| HungUp)
}

/// The page; or the one to close the connection with, because the rest of the request was not read.
async fn page_for(
    request: hyper::Request<Incoming>,
    routes: &Routes,
    options: &HttpdOptions,
) -> Result<Page, Page> {
    let (head, body) = request.into_parts();
    let body = match timeout(options.body_timeout, Limited::new(body, options.body_limit).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Page::html(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large!"));
        }
        Ok(Err(_)) => return Err(Page::html(StatusCode::BAD_REQUEST, "Malformed request body!")),
        Err(_) => return Err(Page::html(StatusCode::REQUEST_TIMEOUT, "Request body took too long!")),
    };
    if head.method != Method::GET && head.method != Method::POST {
        return Ok(Page::html(StatusCode::NOT_ACCEPTABLE, "Unsupported HTTP request!"));
    }
    let Some(handler) = routes.find(head.uri.path()) else {
        return Ok(Page::html(StatusCode::BAD_REQUEST, "Unable to parse URL!"));
    };
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        content_type: head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec()),
        body,
    };
    Ok(handler(request).await)
}

fn wants_close(request: &hyper::Request<Incoming>) -> bool {
    let has = |wanted: &str| {
        let values = request
            .headers()
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    has("close") || request.version() < Version::HTTP_11 && !has("keep-alive")
}

/// The body of a reply.
enum PageBody {
    Full(Bytes),
    /// Of unknown length, and so chunked, but empty.
    Empty,
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match &mut *self {
            Self::Full(bytes) if !bytes.is_empty() => Some(Ok(Frame::data(std::mem::take(bytes)))),
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Empty => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_root_that_fits() {
        let mut routes = Routes::new();
        for root in ["mi", "/mi/deep/", "metrics"] {
            routes.add(root, move |_| async { Page::HangUp });
        }
        let handler_at = |path: &str| {
            routes
                .find(path)
                .map(|found| routes.list.iter().position(|(_, handler)| Rc::ptr_eq(handler, found)).unwrap())
        };
        for (path, expected) in [
            ("/mi", Some(0)),
            ("/mi/", Some(0)),
            ("/mi/x", Some(0)),
            ("/mi/deep/x", Some(1)),
            ("/metrics", Some(2)),
            ("/", None),
            ("", None),
            ("/mix", None),
            ("mi", None),
        ] {
            assert_eq!(handler_at(path), expected, "{path}");
        }
    }
}
