//! mi_datagram: the Management Interface over a UDP or UNIX datagram socket. The socket is opened before the first fork;
//! what is understood is [`tocsin_mi::datagram`].
#![forbid(unsafe_code)]

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tocsin_event::OwnListener;
use tocsin_mi::datagram::{serve_udp, serve_unix};
use tocsin_mi::jsonrpc::Style;
use tocsin_net::split_host_port;
use tocsin_process::{Identity, Kind, MadeFile};
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::module::{Local, Module, Parameters, ProcessGroup, Setup, SetupError};
use tocsin_server::shared_parameters::{PRETTY_PRINTING, TRACE_BWLIST, TRACE_DESTINATION};
use tocsin_server::{Context, Worker, commands};

use tocsin_mi_fifo::files;

/// How many processes `children_count` may ask for.
pub const MAX_CHILDREN: i64 = 32;

const SOCKET_NAME: ModParam = ModParam::text(
    "socket_name",
    "",
    "The socket that commands arrive on: `udp:host:port`, or the path of a UNIX socket, perhaps with `unix:` before it.",
)
.unset("the server does not start");
const CHILDREN_COUNT: ModParam =
    ModParam::number("children_count", 1, "How many processes serve the socket.")
        .within(1, MAX_CHILDREN, "processes")
        .in_quotes_too();
const UNIX_SOCKET_MODE: ModParam =
    files::mode_row("unix_socket_mode", "The permissions of the UNIX socket, in octal digits.");
const UNIX_SOCKET_GROUP: ModParam = ModParam::number_or_text(
    "unix_socket_group",
    "The group that the UNIX socket belongs to, by name or number.",
)
.unset("that of the server");
const UNIX_SOCKET_USER: ModParam = ModParam::number_or_text(
    "unix_socket_user",
    "The user that the UNIX socket belongs to, by name or number.",
)
.unset("that of the server");
const SOCKET_TIMEOUT: ModParam =
    ModParam::number("socket_timeout", 2000, "Milliseconds that a reply waits for a slow reader.")
        .without_effect("a reply always waits two seconds, and no other command waits for it");

const PARAMETERS: &[ModParam] = &[
    SOCKET_NAME,
    CHILDREN_COUNT,
    UNIX_SOCKET_MODE,
    UNIX_SOCKET_GROUP,
    UNIX_SOCKET_USER,
    SOCKET_TIMEOUT,
    TRACE_DESTINATION,
    TRACE_BWLIST,
    PRETTY_PRINTING,
];

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct MiDatagram;

impl Module for MiDatagram {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new("mi_datagram") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        if setup.rehearsal {
            return check(&setup.parameters);
        }
        let (socket, file) = open(&setup.parameters, &setup.settings.identity)?;
        setup.files.extend(file);
        let socket = Rc::new(socket);
        setup.own_listeners.extend(socket.as_own_listener());
        let style = files::style(&setup.parameters);
        setup.registered.processes.push(ProcessGroup {
            kind: Kind::Mi,
            description: "MI Datagram".to_owned(),
            processes: setup.parameters.int(&CHILDREN_COUNT) as usize,
            run: Rc::new(move |worker| serve(worker, Rc::clone(&socket), style)),
        });
        Ok(())
    }
}

/// The socket that requests come to.
#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    fn as_own_listener(&self) -> Option<OwnListener> {
        match self {
            Self::Udp(socket) => socket.local_addr().ok().map(OwnListener::Datagram),
            Self::Unix(socket) => {
                let address = socket.local_addr().ok()?;
                address.as_pathname().map(|path| OwnListener::Path(path.to_owned()))
            }
        }
    }
}

fn serve(worker: &'static Worker, socket: Rc<Socket>, style: Style) -> Local<()> {
    Box::pin(async move {
        let registry = Rc::new(commands::registry(worker));
        // The original stays with the supervisor, for the successor of this process.
        let served = match &*socket {
            Socket::Udp(socket) => match socket.try_clone() {
                Ok(own) => serve_udp(own, registry, style).await,
                Err(cause) => Err(cause),
            },
            Socket::Unix(socket) => match socket.try_clone() {
                Ok(own) => serve_unix(own, registry, style).await,
                Err(cause) => Err(cause),
            },
        };
        if let Err(cause) = served {
            tracing::error!("the MI datagram socket cannot be served: {cause}");
        }
    })
}

fn wrong(row: ModParam, problem: String) -> SetupError {
    SetupError::Parameter { module: "mi_datagram", name: row.name, problem }
}

/// Whether the parameters name a socket that may be opened.
fn check(parameters: &Parameters) -> Result<(), SetupError> {
    let name = name(parameters)?;
    let Some(address) = name.strip_prefix("udp:") else { return Ok(()) };
    let checked = udp_addresses(address).map(drop);
    checked.map_err(|cause| wrong(SOCKET_NAME, format!("{name} cannot be opened: {cause}")))
}

fn name(parameters: &Parameters) -> Result<String, SetupError> {
    let name = parameters.string(&SOCKET_NAME);
    if name.is_empty() {
        let problem = "a socket is needed: give udp:127.0.0.1:8080, or the path of a UNIX socket".to_owned();
        return Err(wrong(SOCKET_NAME, problem));
    }
    Ok(name)
}

/// The socket, and its file if it has one.
fn open(parameters: &Parameters, identity: &Identity) -> Result<(Socket, Option<MadeFile>), SetupError> {
    let name = name(parameters)?;
    let opened = match name.strip_prefix("udp:") {
        Some(address) => open_udp(address).map(|socket| (Socket::Udp(socket), None)),
        None => {
            let opened = open_unix(name.strip_prefix("unix:").unwrap_or(&name), parameters, identity)?;
            opened.map(|(socket, file)| (Socket::Unix(socket), Some(file)))
        }
    };
    opened.map_err(|cause| wrong(SOCKET_NAME, format!("{name} cannot be opened: {cause}")))
}

fn open_udp(address: &str) -> io::Result<UdpSocket> {
    UdpSocket::bind(&udp_addresses(address)?[..])
}

fn udp_addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
    let malformed = |cause: String| io::Error::new(io::ErrorKind::InvalidInput, cause);
    let (host, port) = split_host_port(address).map_err(|cause| malformed(cause.to_string()))?;
    let port = port.filter(|port| *port != 0).ok_or_else(|| malformed("a port is missing".to_owned()))?;
    Ok((host, port).to_socket_addrs()?.collect())
}

/// The outer error is that of a parameter, the inner one that of the system. Unless the parameters say otherwise the socket
/// belongs to who the server will run as.
fn open_unix(
    path: &str,
    parameters: &Parameters,
    identity: &Identity,
) -> Result<io::Result<(UnixDatagram, MadeFile)>, SetupError> {
    let path = PathBuf::from(path);
    files::make_room(&path, files::Kind::Socket).map_err(|problem| wrong(SOCKET_NAME, problem))?;
    let mode =
        files::mode(parameters, &UNIX_SOCKET_MODE).map_err(|problem| wrong(UNIX_SOCKET_MODE, problem))?;
    let user =
        files::user(parameters, &UNIX_SOCKET_USER).map_err(|problem| wrong(UNIX_SOCKET_USER, problem))?;
    let group =
        files::group(parameters, &UNIX_SOCKET_GROUP).map_err(|problem| wrong(UNIX_SOCKET_GROUP, problem))?;
    let user = user.or(identity.user.map(|account| account.user));
    Ok(bind_unix(&path, mode, user, group.or(identity.effective_group())))
}

fn bind_unix(
    path: &Path,
    mode: u32,
    user: Option<u32>,
    group: Option<u32>,
) -> io::Result<(UnixDatagram, MadeFile)> {
    let socket = UnixDatagram::bind(path)?;
    let file = MadeFile::at(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    if user.is_some() || group.is_some() {
        lchown(path, user, group)?;
    }
    Ok((socket, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_script::Value;

    fn given(list: &[(&str, Value)]) -> Parameters {
        Parameters(list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn open(parameters: &Parameters) -> Result<(Socket, Option<MadeFile>), SetupError> {
        super::open(parameters, &Identity::default())
    }

    #[test]
    fn a_unix_socket_takes_the_place_of_one_that_was_left_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mi.sock");
        for name in [path.to_str().unwrap().to_owned(), format!("unix:{}", path.display())] {
            drop(UnixDatagram::bind(&path).unwrap());
            let list = [("socket_name", Value::str(name)), ("unix_socket_mode", Value::Int(600))];
            let (socket, file) = open(&given(&list)).unwrap();
            assert!(matches!(socket, Socket::Unix(_)));
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
            let cause = open(&given(&list)).unwrap_err().to_string();
            assert!(cause.contains("in use by a server that runs"), "{cause}");
            drop(file);
            assert!(!path.exists(), "it goes with the server");
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        let _living = UnixDatagram::bind(&path).unwrap();
        for name in ["file", "link"] {
            let name = folder.path().join(name);
            let cause = open(&given(&[("socket_name", Value::from(name.to_str().unwrap()))])).unwrap_err();
            assert!(cause.to_string().contains("something else") && name.exists(), "{cause}");
        }
    }

    #[test]
    fn a_udp_socket_that_is_taken_is_told_of() {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = format!("udp:{}", first.local_addr().unwrap());
        let cause = open(&given(&[("socket_name", Value::str(name.clone()))])).unwrap_err().to_string();
        assert!(
            cause.starts_with(&format!("modparam mi_datagram:socket_name: {name} cannot be opened: ")),
            "{cause}"
        );
        drop(first);
        assert!(matches!(open(&given(&[("socket_name", Value::str(name))])), Ok((Socket::Udp(_), None))));
    }

    #[test]
    fn what_is_no_socket() {
        for name in ["", "udp:127.0.0.1", "udp:127.0.0.1:0", "udp::1:x", "udp:", "/no/such/folder/x"] {
            assert!(open(&given(&[("socket_name", Value::from(name))])).is_err(), "{name}");
        }
    }

    #[test]
    fn children_are_counted() {
        let checked = |value| Parameters::checked(PARAMETERS, &[("children_count", value)]);
        let count = |value: Value| checked(value).ok().map(|given| given.int(&CHILDREN_COUNT));
        assert_eq!(given(&[]).int(&CHILDREN_COUNT), 1);
        assert_eq!([count(Value::Int(3)), count(Value::from("3"))], [Some(3), Some(3)]);
        assert_eq!([count(Value::Int(0)), count(Value::Int(33)), count(Value::from("x"))], [None; 3]);
    }
}
