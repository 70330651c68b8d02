//! httpd: one HTTP server for all that has pages: `mi_http` is one. What it understands is [`tocsin_mi::httpd`].
//!
//! Modules put pages in while they start ([`add_page`]); the one process of this module makes them into routes. One is
//! always there unless a module takes its path: [`readyz`], for load balancers.
#![forbid(unsafe_code)]

mod readyz;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::OwnListener;
use tocsin_json::Value as Json;
use tocsin_mi::httpd::{Credentials, Guard, HEAD_TIMEOUT, Handler, HttpdOptions, Routes, serve};
use tocsin_process::Kind;
use tocsin_script::{ModParam, ModuleSpec, Value};
use tocsin_server::module::{
    CommandRow, Local, Management, Module, Parameters, ProcessGroup, Setup, SetupError,
};
use tocsin_server::{Context, Worker};

const IP: ModParam =
    ModParam::text("ip", "*", "The IP address to listen on; `*` or an empty string stands for all.").check(
        |value| {
            let address = value.as_str().unwrap_or_default();
            listening_ip(&String::from_utf8_lossy(address)).map(drop)
        },
    );
const PORT: ModParam =
    ModParam::number("port", 8888, "The port to listen on.").within(LOWEST_PORT, u16::MAX as i64, "");
const CONN_TIMEOUT: ModParam = ModParam::number(
    "conn_timeout",
    HEAD_TIMEOUT.as_secs() as i64,
    "How long the head of a request may take, and how long a connection may stay idle; 0 is for ever.",
)
.within(0, i64::MAX, "seconds");
const BUF_SIZE: ModParam =
    ModParam::number("buf_size", 0, "Bytes of the buffer in which a response is built.")
        .without_effect("responses take the memory that they need");
const POST_BUF_SIZE: ModParam =
    ModParam::number("post_buf_size", 1024, "Bytes of the buffer in which the body of a request is read.")
        .without_effect("bodies are read as they arrive");
const RECEIVE_BUF_SIZE: ModParam = ModParam::number(
    "receive_buf_size",
    0,
    "The most bytes of the body of a request. Less than 1 MiB counts as 1 MiB.",
);
const TLS_CERT_FILE: ModParam =
    ModParam::text("tls_cert_file", "", "The certificate for HTTPS. None is possible so far.").check(no_tls);
const TLS_KEY_FILE: ModParam =
    ModParam::text("tls_key_file", "", "The private key for HTTPS. None is possible so far.").check(no_tls);
const TLS_CIPHERS: ModParam = ModParam::text("tls_ciphers", "", "The cipher suites for HTTPS.")
    .unset("")
    .without_effect("there is no HTTPS yet");
const AUTH_REALM: ModParam =
    ModParam::text("auth_realm", "tocsin", "The realm that clients are asked to sign in to.");
const AUTH_USERNAME: ModParam = ModParam::text(
    "auth_username",
    "",
    "The user name that clients must send (HTTP Basic), with `auth_password`.",
)
.unset("clients need no password")
.check(|value| {
    if value.as_str().is_some_and(|name| name.contains(&b':')) {
        Err("a name has no colon: HTTP ends it there".to_owned())
    } else {
        Ok(())
    }
});
const AUTH_PASSWORD: ModParam = ModParam::text(
    "auth_password",
    "",
    "The password that clients must send (HTTP Basic), with `auth_username`.",
)
.unset("clients need no password");
const ALLOWED_HOSTS: ModParam = ModParam::text(
    "allowed_hosts",
    "",
    "Host names by which clients may address the server, separated by commas or blanks. It may be given several times. The \
     manual does not have this parameter.",
)
.unset("addresses and names without a dot")
.check(|value| {
    let list = String::from_utf8_lossy(value.as_str().unwrap_or_default()).into_owned();
    host_names(&list).map(drop)
});

const PARAMETERS: &[ModParam] = &[
    IP,
    PORT,
    CONN_TIMEOUT,
    BUF_SIZE,
    POST_BUF_SIZE,
    RECEIVE_BUF_SIZE,
    TLS_CERT_FILE,
    TLS_KEY_FILE,
    TLS_CIPHERS,
    AUTH_REALM,
    AUTH_USERNAME,
    AUTH_PASSWORD,
    ALLOWED_HOSTS,
];

/// The lowest port that may be used.
const LOWEST_PORT: i64 = 1024;
/// Requests that are not read to their end, and replies that wait for their readers, take at most one in so many bytes of
/// private memory (`-M`) together.
const HELD_SHARE: u64 = 4;
/// What `conn_timeout` 0 stands for.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Httpd;

/// A page of the server and everything below it.
#[derive(Clone)]
pub struct Page {
    /// The module it belongs to.
    pub module: &'static str,
    /// Its path, without slashes around it.
    pub root: String,
    /// Makes what serves it, in the process that does.
    pub handler: Rc<dyn Fn(&'static Worker) -> Handler>,
}

/// The pages so far, and who can ask for them.
struct Pages {
    list: Rc<RefCell<Vec<Page>>>,
    reach: Reach,
}

/// Who can ask for pages.
struct Reach {
    /// Where the server listens.
    address: SocketAddr,
    /// The same as `ps` shows it.
    shown: String,
    /// Whether a password is asked for.
    has_password: bool,
}

/// Adds a page, while its module starts.
///
/// # Errors
/// The module httpd is not loaded before, or the path is taken.
pub fn add_page(setup: &Setup<'_>, page: Page) -> Result<(), SetupError> {
    let Some(Pages { list: pages, .. }) = setup.registered.states.find() else {
        let module = page.module;
        return Err(SetupError::Other(format!(
            "loadmodule \"httpd.so\" has to come before loadmodule \"{module}.so\""
        )));
    };
    let mut pages = pages.borrow_mut();
    if let Some(other) = pages.iter().find(|other| other.root == page.root) {
        let (root, other) = (&page.root, other.module);
        return Err(SetupError::Other(format!(
            "the path /{root} is taken by the module {other}: choose another root"
        )));
    }
    pages.push(page);
    Ok(())
}

/// Warns that other hosts may do `what` without a password, if they can reach the server.
pub fn warn_if_exposed(setup: &Setup<'_>, module: &str, what: &str) {
    let Some(Pages { reach, .. }) = setup.registered.states.find() else { return };
    if !reach.has_password && !reach.address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "{module}: anyone who reaches {} {what} without a password: write modparam(\"httpd\", \"ip\", \"127.0.0.1\"), \
             or set auth_username and auth_password of httpd",
            reach.shown
        );
    }
}

impl Module for Httpd {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new("httpd") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let mut options = options(&setup.parameters)?;
        let held = usize::try_from(setup.settings.private_bytes / HELD_SHARE).unwrap_or(usize::MAX);
        options.held_limit = held;
        let (listener, shown) = open(&setup.parameters, setup.rehearsal)?;
        let address = listener.local_addr().map_err(|cause| wrong(PORT, cause.to_string()))?;
        setup.own_listeners.push(OwnListener::Stream(address));
        let reach =
            Reach { address, shown: shown.clone(), has_password: options.guard.credentials.is_some() };
        let (listener, pages) = (Rc::new(listener), Pages { list: Rc::default(), reach });
        let served = Rc::clone(&pages.list);
        setup.registered.states.put(pages);
        setup.registered.processes.push(ProcessGroup {
            kind: Kind::Mi,
            description: format!("HTTPD {shown}"),
            processes: 1,
            run: Rc::new(move |worker| run(worker, &listener, &served, options.clone())),
        });
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: COMMANDS, ..Management::default() }
    }
}

const COMMANDS: &[CommandRow] = &[CommandRow::new(
    "httpd_list_root_path",
    &[&[]],
    "Lists the paths of the HTTP server and the modules that serve them.",
    |worker, _| {
        let Pages { list, .. } = worker.server.state();
        Ok(Json::array(list.borrow().iter().map(list_row)))
    },
)];

fn list_row(page: &Page) -> Json {
    Json::object([("http_root", Json::from(page.root.clone())), ("module", Json::from(page.module))])
}

fn run(
    worker: &'static Worker,
    listener: &TcpListener,
    pages: &RefCell<Vec<Page>>,
    options: HttpdOptions,
) -> Local<()> {
    let mut routes = Routes::new();
    let status = &worker.server.registered.status;
    routes.add_public(readyz::ROOT, move |request| std::future::ready(readyz::page(status, &request.method)));
    for page in pages.borrow().iter() {
        let handler = (page.handler)(worker);
        routes.add(&page.root, move |request| handler(request));
    }
    // The original stays with the supervisor, for the successor of this process.
    let own = listener.try_clone();
    Box::pin(async move {
        let served = match own {
            Ok(own) => serve(own, routes, options).await,
            Err(cause) => Err(cause),
        };
        if let Err(cause) = served {
            tracing::error!("the HTTP server cannot listen: {cause}");
        }
    })
}

fn wrong(row: ModParam, problem: String) -> SetupError {
    SetupError::Parameter { module: "httpd", name: row.name, problem }
}

fn no_tls(value: &Value) -> Result<(), String> {
    if value.as_str().is_some_and(<[u8]>::is_empty) {
        return Ok(());
    }
    Err("this version speaks plain HTTP only: listen on 127.0.0.1 behind a proxy that does TLS".to_owned())
}

fn options(given: &Parameters) -> Result<HttpdOptions, SetupError> {
    let mut options = HttpdOptions::default();
    // A buffer for larger requests than are taken anyway is a wish for larger requests.
    let buffer = usize::try_from(given.int(&RECEIVE_BUF_SIZE)).unwrap_or(0);
    options.body_limit = options.body_limit.max(buffer);
    options.head_timeout = match given.seconds(&CONN_TIMEOUT) {
        Duration::ZERO => NEVER,
        time => time.min(NEVER),
    };
    options.guard = Guard { allowed_hosts: allowed_hosts(given)?, credentials: credentials(given)? };
    Ok(options)
}

/// All names of all lists.
fn allowed_hosts(given: &Parameters) -> Result<Vec<String>, SetupError> {
    let mut names = Vec::new();
    for list in given.every(&ALLOWED_HOSTS).filter_map(Value::to_bytes) {
        names.extend(host_names(&list.lossy()).map_err(|problem| wrong(ALLOWED_HOSTS, problem))?);
    }
    Ok(names)
}

fn host_names(list: &str) -> Result<Vec<String>, String> {
    let names = list.split([',', ' ']).filter(|name| !name.is_empty());
    names
        .map(|name| match name.contains(['/', ':', '*']) {
            true => Err(format!("`{name}` is no host name: write mi.example.com, without scheme and port")),
            false => Ok(name.to_owned()),
        })
        .collect()
}

/// The name and the password that clients have to send, if they are given.
fn credentials(given: &Parameters) -> Result<Option<Credentials>, SetupError> {
    let (user, password) = (given.string(&AUTH_USERNAME), given.string(&AUTH_PASSWORD));
    if user.is_empty() != password.is_empty() {
        let alone = if user.is_empty() { AUTH_PASSWORD } else { AUTH_USERNAME };
        return Err(wrong(alone, "auth_username and auth_password need each other".to_owned()));
    }
    let realm = given.string(&AUTH_REALM);
    Ok((!user.is_empty()).then(|| Credentials::new(&realm, &user, &password)))
}

/// The address that `ip` names; `None` for all.
fn listening_ip(text: &str) -> Result<Option<IpAddr>, String> {
    match text {
        "" | "*" => Ok(None),
        one => match one.trim_matches(['[', ']']).parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(format!("`{one}` is no IP address, and not *")),
        },
    }
}

/// The listening socket, and how `ps` shows it.
/// The listener and how its address is shown. In a rehearsal it takes any free port, of this host alone.
fn open(given: &Parameters, rehearsal: bool) -> Result<(TcpListener, String), SetupError> {
    let port = given.int(&PORT) as u16;
    let ip = listening_ip(&given.string(&IP)).map_err(|problem| wrong(IP, problem))?;
    let shown = match ip {
        None => format!("INADDR_ANY:{port}"),
        Some(ip) => SocketAddr::new(ip, port).to_string(),
    };
    let opened = match ip {
        _ if rehearsal => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)),
        None => open_everywhere(port),
        Some(ip) => TcpListener::bind((ip, port)),
    };
    match opened {
        Ok(listener) => Ok((listener, shown)),
        Err(cause) => Err(wrong(PORT, format!("cannot listen on {shown}: {cause}"))),
    }
}

/// All addresses of both families; of IPv4 alone where the system has no IPv6.
fn open_everywhere(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(cause),
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(list: &[(&str, Value)]) -> Result<Parameters, String> {
        Parameters::checked(PARAMETERS, list)
    }

    #[test]
    fn options_follow_the_parameters() {
        let read = |list: &[(&str, Value)]| options(&given(list)?).map_err(|cause| cause.to_string());
        let plain = read(&[]).unwrap();
        assert_eq!((plain.head_timeout, plain.body_limit), (Duration::from_secs(30), 1 << 20));
        assert_eq!(read(&[("conn_timeout", Value::Int(0))]).unwrap().head_timeout, NEVER);
        assert_eq!(read(&[("conn_timeout", Value::Int(5))]).unwrap().head_timeout, Duration::from_secs(5));
        assert_eq!(read(&[("receive_buf_size", Value::Int(1024))]).unwrap().body_limit, 1 << 20);
        assert_eq!(read(&[("receive_buf_size", Value::Int(4 << 20))]).unwrap().body_limit, 4 << 20);
        assert!(read(&[("conn_timeout", Value::Int(-1))]).is_err());
        assert!(read(&[("tls_cert_file", Value::from("/etc/cert.pem"))]).is_err());
        assert!(read(&[("tls_cert_file", Value::from(""))]).is_ok());
    }

    #[test]
    fn who_is_let_in() {
        let guard = |list: &[(&str, &str)]| {
            let list: Vec<_> = list.iter().map(|(name, text)| (*name, Value::from(*text))).collect();
            let options = options(&given(&list)?).map_err(|cause| cause.to_string());
            options.map(|options| options.guard)
        };
        assert!(guard(&[]).unwrap().credentials.is_none());
        let hosts =
            guard(&[("allowed_hosts", "a.example, b.example"), ("allowed_hosts", "c.example")]).unwrap();
        assert_eq!(hosts.allowed_hosts, ["a.example", "b.example", "c.example"]);
        assert!(guard(&[("auth_username", "u"), ("auth_password", "p")]).unwrap().credentials.is_some());
        for wrong in [
            &[("auth_username", "u")][..],
            &[("auth_password", "p")],
            &[("auth_username", "u:v"), ("auth_password", "p")],
            &[("allowed_hosts", "http://a.example")],
            &[("allowed_hosts", "*.example")],
        ] {
            assert!(guard(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_address_is_shown_as_it_was_asked_for() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let list = [("ip", Value::from("127.0.0.1")), ("port", Value::Int(free.into()))];
        let (listener, shown) = open(&given(&list).unwrap(), false).unwrap();
        assert_eq!(shown, format!("127.0.0.1:{free}"));
        let cause = open(&given(&list).unwrap(), false).unwrap_err().to_string();
        assert!(cause.contains(&format!("cannot listen on 127.0.0.1:{free}")), "{cause}");
        drop(listener);
        let (_listener, shown) = open(&given(&[("port", Value::Int(free.into()))]).unwrap(), false).unwrap();
        assert_eq!(shown, format!("INADDR_ANY:{free}"));
    }

    #[test]
    fn what_is_no_address() {
        for list in
            [[("port", Value::Int(80))], [("port", Value::Int(70_000))], [("ip", Value::from("localhost"))]]
        {
            assert!(given(&list).is_err(), "{list:?}");
        }
    }
}
