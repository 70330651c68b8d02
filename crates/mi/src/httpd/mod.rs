//! A small HTTP/1.1 server with a table of routes: `mi_http` is one page of it, `/metrics` and `/readyz` can be others.
//!
//! Every connection is a task of its own with a limit on everything: the time for the request's head and body, the time a
//! reply may stall, the size of a body, the number of connections - one address has a part of them - and what all of them
//! hold in memory. A page is shown to clients that its [`Guard`] admits, unless it is public. Only GET and POST are routed; statuses, headers and
//! their order are those of the httpd module that clients know.

mod crowd;
mod guard;
mod held;
mod stalls;

use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use http_body_util::BodyExt;
use hyper::Version;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
pub use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crowd::Crowd;
use guard::Refusal;
pub use guard::{Credentials, Guard};
pub use held::SMALL;
use held::{Held, Holding};
use stalls::Stalling;

use crate::PIECE;
use crate::seldom::Seldom;

/// The limits of the server.
#[derive(Clone, Debug)]
pub struct HttpdOptions {
    /// How many bytes the body of a request may have.
    pub body_limit: usize,
    /// How many connections may be open; one more is closed at once.
    pub connection_limit: usize,
    /// How many of them one address may have, of IPv6 one /64.
    pub address_limit: usize,
    /// How many bytes the bodies of requests and the replies that wait for their readers may have together.
    pub held_limit: usize,
    /// Who may see the pages that are not public.
    pub guard: Guard,
    /// How long a client may take for the head of a request, an idle connection included.
    pub head_timeout: Duration,
    /// How long a client may take for the body of a request.
    pub body_timeout: Duration,
    /// How long a reply may wait for its reader.
    pub stall_timeout: Duration,
}

/// How long the head of a request may take, unless [`HttpdOptions`] says otherwise.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for HttpdOptions {
    fn default() -> Self {
        Self {
            body_limit: 1024 * 1024,
            connection_limit: 256,
            address_limit: 64,
            held_limit: 4 * 1024 * 1024,
            guard: Guard::default(),
            head_timeout: HEAD_TIMEOUT,
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
    /// 401: who wants to see the page has to say who they are.
    Challenge {
        /// What the client shows to its user.
        realm: String,
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
    list: Vec<Route>,
}

#[derive(Clone)]
struct Route {
    root: String,
    is_public: bool,
    handler: Handler,
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
        self.put(root, false, handler);
    }

    /// The same for a page that everybody may see, whatever the guard says.
    pub fn add_public<F>(&mut self, root: &str, handler: impl Fn(Request) -> F + 'static)
    where
        F: Future<Output = Page> + 'static,
    {
        self.put(root, true, handler);
    }

    fn put<F>(&mut self, root: &str, is_public: bool, handler: impl Fn(Request) -> F + 'static)
    where
        F: Future<Output = Page> + 'static,
    {
        let root = root.trim_matches('/').to_owned();
        let handler: Handler = Rc::new(move |request| Box::pin(handler(request)));
        self.list.push(Route { root, is_public, handler });
    }

    /// The route with the longest root that fits.
    fn find(&self, path: &str) -> Option<&Route> {
        let path = path.strip_prefix('/')?;
        let fits =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.list.iter().filter(|route| fits(&route.root)).max_by_key(|route| route.root.len())
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|route| &route.root)).finish()
    }
}

/// Serves connections from a listening socket until its task ends.
///
/// # Errors
/// The socket cannot be put into the runtime.
pub async fn serve(listener: std::net::TcpListener, routes: Routes, options: HttpdOptions) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let crowd = Crowd::new(options.connection_limit, options.address_limit);
    let (mut refused, site) = (Seldom::default(), Rc::new(Site::new(routes, options)));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!("httpd: cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let open = match crowd.admit(from.ip()) {
            Ok(open) => open,
            Err(cause) => {
                if let Some(times) = refused.happened(Instant::now()) {
                    tracing::warn!("httpd: closed {times} connection(s), the last from {from}: {cause}");
                }
                continue;
            }
        };
        let connection = connection(stream, Rc::clone(&site));
        tokio::task::spawn_local(async move {
            connection.await;
            drop(open);
        });
    }
}

/// How long to wait when a connection cannot be accepted, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
struct Site {
    routes: Routes,
    options: HttpdOptions,
    holding: Holding,
    /// Requests that the guard did not let in.
    kept_out: RefCell<Seldom>,
}

impl Site {
    fn new(routes: Routes, options: HttpdOptions) -> Self {
        let holding = Holding::new(options.held_limit);
        Self { routes, options, holding, kept_out: RefCell::default() }
    }

    /// What a request gets that the guard does not let in.
    fn refuse(&self, refusal: &Refusal) -> Page {
        let shown = |text: &str| text.chars().take(80).collect::<String>().escape_debug().to_string();
        let (text, reported) = match refusal {
            Refusal::Host(host) => (
                "This host name is not served!",
                format!("for the host `{}`: a name has to be listed in allowed_hosts", shown(host)),
            ),
            Refusal::Origin(origin) => (
                "Requests from pages of other servers are not served!",
                format!("from a page of `{}`: its host has to be listed in allowed_hosts", shown(origin)),
            ),
            Refusal::Credentials => {
                let credentials = self.options.guard.credentials.as_ref();
                return Page::Challenge { realm: credentials.map_or("", Credentials::realm).to_owned() };
            }
        };
        if let Some(times) = self.kept_out.borrow_mut().happened(Instant::now()) {
            tracing::warn!("httpd: refused {times} request(s), the last {reported}");
        }
        Page::html(StatusCode::FORBIDDEN, text)
    }
}

async fn connection(stream: TcpStream, site: Rc<Site>) {
    // Replies are written whole; waiting to join them with the next one only adds delay.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Stalling::new(stream, site.options.stall_timeout));
    let head_timeout = site.options.head_timeout;
    let service = service_fn(move |request| exchange(request, Rc::clone(&site)));
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
    site: Rc<Site>,
) -> Result<hyper::Response<PageBody>, HungUp> {
    let close = wants_close(&request);
    let (page, close) = match page_for(request, &site).await {
        Ok(page) => (page, close),
        Err(refusal) => (refusal, true),
    };
    let mut response = hyper::Response::builder().header(DATE, httpdate::fmt_http_date(SystemTime::now()));
    if close {
        response = response.header(CONNECTION, "close");
    }
    let page = match page {
        Page::Challenge { realm } => {
            response = response.header(WWW_AUTHENTICATE, format!("Basic realm=\"{realm}\""));
            Page::html(StatusCode::UNAUTHORIZED, "A name and a password are needed!")
        }
        Page::Full { body, .. } if !site.holding.part().grow(body.len()) => busy(),
        page => page,
    };
    let (status, content_type, body) = match page {
        Page::Full { status, content_type, body } => {
            let mut held = site.holding.part();
            held.grow(body.len());
            (status, content_type, PageBody::Full { bytes: body.into(), _held: held })
        }
        Page::Empty { status, content_type } => (status, content_type, PageBody::Empty),
        Page::Challenge { .. } | Page::HangUp => return Err(HungUp),
    };
    response = response.status(status).header(CONTENT_TYPE, &*content_type);
    if let PageBody::Full { bytes, .. } = &body {
        response = response.header(CONTENT_LENGTH, bytes.len());
    }
    response.body(body).map_err(|_| HungUp)
}

fn busy() -> Page {
    Page::html(StatusCode::SERVICE_UNAVAILABLE, "Too many requests and replies are under way!")
}

/// The page; or the one to close the connection with, because the rest of the request was not read.
async fn page_for(request: hyper::Request<Incoming>, site: &Site) -> Result<Page, Page> {
    let (head, body) = request.into_parts();
    let route = site.routes.find(head.uri.path());
    if !route.is_some_and(|route| route.is_public)
        && let Err(refusal) = site.options.guard.check(&head.uri, &head.headers)
    {
        return Err(site.refuse(&refusal));
    }
    let mut held = site.holding.part();
    let body = match timeout(site.options.body_timeout, whole(body, site.options.body_limit, &mut held)).await
    {
        Ok(body) => body?,
        Err(_) => return Err(Page::html(StatusCode::REQUEST_TIMEOUT, "Request body took too long!")),
    };
    if head.method != Method::GET && head.method != Method::POST {
        return Ok(Page::html(StatusCode::NOT_ACCEPTABLE, "Unsupported HTTP request!"));
    }
    let Some(Route { handler, .. }) = route else {
        return Ok(Page::html(StatusCode::BAD_REQUEST, "Unable to parse URL!"));
    };
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        content_type: head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec()),
        body,
    };
    // However many requests a connection has at once, those of others are served in between.
    tokio::task::yield_now().await;
    Ok(handler(request).await)
}

/// The whole body of a request, or the page that says why it was not read.
async fn whole(mut body: Incoming, limit: usize, held: &mut Held) -> Result<Bytes, Page> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Page::html(StatusCode::BAD_REQUEST, "Malformed request body!"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if text.len() + piece.len() > limit {
            return Err(Page::html(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large!"));
        }
        if !held.grow(piece.len()) {
            return Err(busy());
        }
        text.extend_from_slice(&piece);
    }
    Ok(text.into())
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
    Full {
        bytes: Bytes,
        /// Counts the reply until all of it was handed on.
        _held: Held,
    },
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
            // In pieces: what was not handed on yet is not copied, and counts as held.
            Self::Full { bytes, .. } if !bytes.is_empty() => {
                let length = bytes.len().min(PIECE);
                Some(Ok(Frame::data(bytes.split_to(length))))
            }
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full { bytes, .. } if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
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
                .map(|found| routes.list.iter().position(|route| std::ptr::eq(route, found)).unwrap())
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
