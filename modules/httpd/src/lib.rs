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
use tocsin_mi::httpd::{Credentials, Guard, Handler, HttpdOptions, Routes, serve};
use tocsin_mi::{Command, Registry};
use tocsin_process::Kind;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::module::{Local, Module, Parameters, ProcessGroup, Setup, SetupError};
use tocsin_server::{Context, Server, Worker};

/// What clients are told that they sign in to, unless `auth_realm` says otherwise.
const DEFAULT_REALM: &str = "tocsin";
/// The default of `port`.
const DEFAULT_PORT: i64 = 8888;
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
            "{module}: whoever reaches {} {what} without a password: write modparam(\"httpd\", \"ip\", \"127.0.0.1\"), \
             or set auth_username and auth_password of httpd",
            reach.shown
        );
    }
}

impl Module for Httpd {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[
            ModParam::text("ip", "", ""),
            ModParam::number("port", 0, ""),
            ModParam::number("conn_timeout", 0, ""),
            // No effect: replies are as long as they are.
            ModParam::number("buf_size", 0, ""),
            // No effect: requests are read as they come.
            ModParam::number("post_buf_size", 0, ""),
            ModParam::number("receive_buf_size", 0, ""),
            ModParam::text("tls_cert_file", "", ""),
            ModParam::text("tls_key_file", "", ""),
            ModParam::text("tls_ciphers", "", ""),
            ModParam::text("auth_realm", "", ""),
            ModParam::text("auth_username", "", ""),
            ModParam::text("auth_password", "", ""),
            // Not of OpenSIPS: names by which clients may ask, besides addresses and names without a dot.
            ModParam::text("allowed_hosts", "", ""),
        ];
        ModuleSpec { params: NAMES, ..ModuleSpec::new("httpd") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let mut options = options(&setup.parameters)?;
        let held = usize::try_from(setup.settings.private_bytes / HELD_SHARE).unwrap_or(usize::MAX);
        options.held_limit = held;
        let (listener, shown) = open(&setup.parameters)?;
        let address = listener.local_addr().map_err(|cause| wrong("port", cause.to_string()))?;
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

    fn commands(&self, server: &'static Server, registry: &mut Registry) {
        let help = "lists the paths of the HTTP server and the modules that serve them";
        registry.add(Command::new("httpd", "httpd_list_root_path", &[&[]], help, move |_| {
            let Pages { list, .. } = server.state();
            let rows = list.borrow().iter().map(list_row).collect::<Vec<_>>();
            Json::Array(rows)
        }));
    }
}

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

fn wrong(name: &'static str, problem: String) -> SetupError {
    SetupError::Parameter { module: "httpd", name, problem }
}

fn options(parameters: &Parameters) -> Result<HttpdOptions, SetupError> {
    for name in ["tls_cert_file", "tls_key_file"] {
        if !parameters.text(name, "").is_empty() {
            let problem =
                "this version speaks plain HTTP only: listen on 127.0.0.1 behind a proxy that does TLS";
            return Err(wrong(name, problem.to_owned()));
        }
    }
    let mut options = HttpdOptions::default();
    // A buffer for larger requests than are taken anyway is a wish for larger requests.
    let buffer = usize::try_from(parameters.number("receive_buf_size", 0)).unwrap_or(0);
    options.body_limit = options.body_limit.max(buffer);
    match u64::try_from(parameters.number("conn_timeout", 30)) {
        Ok(0) => options.head_timeout = NEVER,
        Ok(seconds) => options.head_timeout = Duration::from_secs(seconds).min(NEVER),
        Err(_) => return Err(wrong("conn_timeout", "seconds are 0 (never) or more".to_owned())),
    }
    options.guard =
        Guard { allowed_hosts: allowed_hosts(parameters)?, credentials: credentials(parameters)? };
    Ok(options)
}

/// All names of all lists.
fn allowed_hosts(parameters: &Parameters) -> Result<Vec<String>, SetupError> {
    let lists = parameters.all("allowed_hosts").filter_map(tocsin_script::Value::to_bytes);
    let lists: Vec<String> = lists.map(|list| list.lossy().into_owned()).collect();
    let names: Vec<String> = lists
        .iter()
        .flat_map(|list| list.split([',', ' ']))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    match names.iter().find(|name| name.contains(['/', ':', '*'])) {
        Some(name) => Err(wrong(
            "allowed_hosts",
            format!("`{name}` is no host name: write mi.example.com, without scheme and port"),
        )),
        None => Ok(names),
    }
}

/// The name and the password that clients have to send, if they are given.
fn credentials(parameters: &Parameters) -> Result<Option<Credentials>, SetupError> {
    let text = |name| parameters.text(name, "");
    let (user, password) = (text("auth_username"), text("auth_password"));
    if user.is_empty() != password.is_empty() {
        let missing = if user.is_empty() { "auth_username" } else { "auth_password" };
        return Err(wrong(missing, "auth_username and auth_password need each other".to_owned()));
    }
    if user.contains(':') {
        return Err(wrong("auth_username", "a name has no colon: HTTP ends it there".to_owned()));
    }
    let realm = parameters.text("auth_realm", DEFAULT_REALM);
    Ok((!user.is_empty()).then(|| Credentials::new(&realm, &user, &password)))
}

/// The listening socket, and how `ps` shows it.
fn open(parameters: &Parameters) -> Result<(TcpListener, String), SetupError> {
    let port = parameters.number("port", DEFAULT_PORT);
    let port = u16::try_from(port).ok().filter(|_| port >= LOWEST_PORT);
    let port = port.ok_or_else(|| wrong("port", format!("ports are {LOWEST_PORT} to {}", u16::MAX)))?;
    let ip = parameters.text("ip", "*");
    let (opened, shown) = match ip.as_str() {
        "" | "*" => (open_everywhere(port), format!("INADDR_ANY:{port}")),
        one => {
            let address = one.trim_matches(['[', ']']).parse::<IpAddr>();
            let address = address.map_err(|_| wrong("ip", format!("`{one}` is no IP address, and not *")))?;
            let address = SocketAddr::new(address, port);
            (TcpListener::bind(address), address.to_string())
        }
    };
    match opened {
        Ok(listener) => Ok((listener, shown)),
        Err(cause) => Err(wrong("port", format!("cannot listen on {shown}: {cause}"))),
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
    use tocsin_script::Value;

    fn given(list: &[(&str, Value)]) -> Parameters {
        Parameters(list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn options_follow_the_parameters() {
        let read = |list: &[(&str, Value)]| options(&given(list));
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
            options(&given(&list)).map(|options| options.guard)
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
        let (listener, shown) = open(&given(&list)).unwrap();
        assert_eq!(shown, format!("127.0.0.1:{free}"));
        let cause = open(&given(&list)).unwrap_err().to_string();
        assert!(cause.contains(&format!("cannot listen on 127.0.0.1:{free}")), "{cause}");
        drop(listener);
        let (_listener, shown) = open(&given(&[("port", Value::Int(free.into()))])).unwrap();
        assert_eq!(shown, format!("INADDR_ANY:{free}"));
    }

    #[test]
    fn what_is_no_address() {
        for list in
            [[("port", Value::Int(80))], [("port", Value::Int(70_000))], [("ip", Value::from("localhost"))]]
        {
            assert!(open(&given(&list)).is_err(), "{list:?}");
        }
    }
}
