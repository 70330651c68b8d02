//! mi_datagram: the Management Interface over a UDP or UNIX datagram socket. The socket is opened before the first fork;
//! what is understood is [`tocsin_mi::datagram`].

use std::fs::Permissions;
use std::io;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tocsin_mi::datagram::{serve_udp, serve_unix};
use tocsin_mi::jsonrpc::Style;
use tocsin_net::split_host_port;
use tocsin_process::Kind;
use tocsin_script::{ModParam, ModParamKind, ModuleSpec};
use tocsin_server::module::{Local, Module, Parameters, ProcessGroup, Setup, SetupError};
use tocsin_server::{Context, Worker, commands};

use crate::mi_fifo::files;

/// How many processes `children_count` may ask for.
pub const CHILDREN_LIMIT: i64 = 32;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct MiDatagram;

impl Module for MiDatagram {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[
            ModParam { name: "socket_name", kind: ModParamKind::Str },
            ModParam { name: "children_count", kind: ModParamKind::IntOrStr },
            ModParam { name: "unix_socket_mode", kind: ModParamKind::Int },
            ModParam { name: "unix_socket_group", kind: ModParamKind::IntOrStr },
            ModParam { name: "unix_socket_user", kind: ModParamKind::IntOrStr },
            // No effect: a reply waits two seconds for a slow reader, and holds up nobody meanwhile.
            ModParam { name: "socket_timeout", kind: ModParamKind::Int },
            // No effect: there is no tracing module.
            ModParam { name: "trace_destination", kind: ModParamKind::Str },
            ModParam { name: "trace_bwlist", kind: ModParamKind::Str },
            ModParam { name: "pretty_printing", kind: ModParamKind::Int },
        ];
        ModuleSpec { params: NAMES, ..ModuleSpec::new("mi_datagram") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let socket = Rc::new(open(&setup.parameters)?);
        let style = files::style(&setup.parameters);
        setup.processes.push(ProcessGroup {
            kind: Kind::Mi,
            description: "MI Datagram".to_owned(),
            processes: children(&setup.parameters)?,
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

fn wrong(name: &'static str, problem: String) -> SetupError {
    SetupError::Parameter { module: "mi_datagram", name, problem }
}

fn children(parameters: &Parameters) -> Result<usize, SetupError> {
    let given = parameters.value("children_count").map_or(Some(1), tocsin_script::Value::to_int);
    let count = given
        .filter(|count| (1..=CHILDREN_LIMIT).contains(count))
        .and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| wrong("children_count", format!("processes are 1 to {CHILDREN_LIMIT}")))
}

fn open(parameters: &Parameters) -> Result<Socket, SetupError> {
    let name = parameters.text("socket_name", "");
    if name.is_empty() {
        let problem = "a socket is needed: give udp:127.0.0.1:8080, or the path of a UNIX socket".to_owned();
        return Err(wrong("socket_name", problem));
    }
    let opened = match name.strip_prefix("udp:") {
        Some(address) => open_udp(address).map(Socket::Udp),
        None => open_unix(name.strip_prefix("unix:").unwrap_or(&name), parameters)?.map(Socket::Unix),
    };
    opened.map_err(|cause| wrong("socket_name", format!("{name} cannot be opened: {cause}")))
}

fn open_udp(address: &str) -> io::Result<UdpSocket> {
    let malformed = |cause: String| io::Error::new(io::ErrorKind::InvalidInput, cause);
    let (host, port) = split_host_port(address).map_err(|cause| malformed(cause.to_string()))?;
    let port = port.filter(|port| *port != 0).ok_or_else(|| malformed("a port is missing".to_owned()))?;
    UdpSocket::bind(&(host, port).to_socket_addrs()?.collect::<Vec<_>>()[..])
}

/// The outer error is that of a parameter, the inner one that of the system.
fn open_unix(path: &str, parameters: &Parameters) -> Result<io::Result<UnixDatagram>, SetupError> {
    let path = PathBuf::from(path);
    files::check_place(&path, files::Kind::Socket).map_err(|problem| wrong("socket_name", problem))?;
    let mode =
        files::mode(parameters, "unix_socket_mode").map_err(|problem| wrong("unix_socket_mode", problem))?;
    let user =
        files::user(parameters, "unix_socket_user").map_err(|problem| wrong("unix_socket_user", problem))?;
    let group = files::group(parameters, "unix_socket_group")
        .map_err(|problem| wrong("unix_socket_group", problem))?;
    Ok(bind_unix(&path, mode, user, group))
}

fn bind_unix(path: &Path, mode: u32, user: Option<u32>, group: Option<u32>) -> io::Result<UnixDatagram> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let socket = UnixDatagram::bind(path)?;
    if user.is_some() || group.is_some() {
        chown(path, user, group)?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_script::Value;

    fn given(list: &[(&str, Value)]) -> Parameters {
        Parameters(list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn a_unix_socket_takes_the_place_of_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mi.sock");
        for name in [path.to_str().unwrap().to_owned(), format!("unix:{}", path.display())] {
            let list = [("socket_name", Value::str(name)), ("unix_socket_mode", Value::Int(600))];
            assert!(matches!(open(&given(&list)), Ok(Socket::Unix(_))));
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let cause = open(&given(&[("socket_name", Value::from(file.to_str().unwrap()))])).unwrap_err();
        assert!(cause.to_string().contains("something else") && file.exists(), "{cause}");
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
        assert!(matches!(open(&given(&[("socket_name", Value::str(name))])), Ok(Socket::Udp(_))));
    }

    #[test]
    fn what_is_no_socket() {
        for name in ["", "udp:127.0.0.1", "udp:127.0.0.1:0", "udp::1:x", "udp:", "/no/such/folder/x"] {
            assert!(open(&given(&[("socket_name", Value::from(name))])).is_err(), "{name}");
        }
    }

    #[test]
    fn children_are_counted() {
        let count = |value: Value| children(&given(&[("children_count", value)])).ok();
        assert_eq!(children(&given(&[])).ok(), Some(1));
        assert_eq!([count(Value::Int(3)), count(Value::from("3"))], [Some(3), Some(3)]);
        assert_eq!([count(Value::Int(0)), count(Value::Int(33)), count(Value::from("x"))], [None; 3]);
    }
}
