//! tcp_mgm: connections of some paths, by the addresses of their ends, are served otherwise than the `tcp_*` globals say.
//!
//! The table flows in when the server starts and on `tcp_reload`: [`source`] reads it from a database or a text file,
//! [`rule`] its rows, [`paths`] keeps them for all processes. What is in force for a connection flows out as the server
//! asks for it when the connection begins. A reload is all or nothing.
#![forbid(unsafe_code)]

mod parameters;
mod paths;
mod rule;
mod source;
mod text_table;

use std::rc::Rc;

use tocsin_json::Value;
use tocsin_mi::{MiError, Reply};
use tocsin_script::ModuleSpec;
use tocsin_server::module::{CommandRow, Management, Module, Setup, SetupError};
use tocsin_server::{Context, Server, tables};

pub use self::parameters::MAX_RULES;
use self::parameters::{NAME, PARAMETERS};
use self::paths::Paths;
use self::source::Source;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct TcpMgm;

/// What the module keeps.
#[derive(Debug)]
struct State {
    source: Source,
    paths: Rc<Paths>,
}

impl Module for TcpMgm {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let source = Source::new(&setup.parameters, &mut setup.registered.databases)?;
        let (paths, sweeper) = Paths::create(setup.arena)?;
        setup.tables.push(sweeper);
        if let Some(rules) = source.read_file() {
            paths
                .publish(rules.map_err(SetupError::Other)?)
                .map_err(|cause| SetupError::Other(cause.to_string()))?;
        } else {
            setup.registered.jobs.push(tables::until_read(
                "tcp_mgm",
                |worker| worker.server.state::<State>().paths.are_there(),
                |worker| Box::pin(reload(worker.server)),
            ));
        }
        let paths = Rc::new(paths);
        setup.tcp_paths = Some(paths.clone());
        setup.registered.states.put(State { source, paths });
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: COMMANDS, ..Management::default() }
    }
}

const COMMANDS: &[CommandRow] = &[CommandRow::replying(
    "tcp_reload",
    &[&[]],
    "Reads the rules for connections again. Open connections keep the rules that they have.",
    |worker, _| {
        Reply::later(async move {
            reload(worker.server).await.map_err(|problem| {
                tracing::error!("tcp_reload: {problem}");
                MiError::server_error(problem)
            })?;
            Ok(Value::from("OK"))
        })
    },
)];

/// Reads the rules again, and puts them in force if all of them are right.
async fn reload(server: &'static Server) -> Result<(), String> {
    let state = server.state::<State>();
    let rules = state.source.read(server).await?;
    let count = rules.len();
    state.paths.publish(rules).map_err(|cause| cause.to_string())?;
    tracing::info!("tcp_mgm: {count} rules are in force");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use std::path::Path;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tocsin_json::Value;
    use tocsin_mi::{MiError, Reply};
    use tocsin_net::Protocol;
    use tocsin_server::Server;
    use tocsin_server::commands;
    use tocsin_server::stream_options::StreamOptions;
    use tocsin_server::tcp_profile::{Opening, TcpProfile};
    use tocsin_server::worker::Worker;

    use super::{MAX_RULES, State};
    use tocsin_testbench::{Bench, TestBed};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(crate::TcpMgm)]);

    const HEAD: &str = "id(int,auto) proto(string) remote_addr(string,null) priority(int) life(int)\n";

    fn write(folder: &Path, rows: &str) {
        std::fs::write(folder.join("tcp_mgm"), format!("{HEAD}{rows}")).unwrap();
    }

    fn start(folder: &Path) -> Result<Bench, String> {
        let lines = format!(
            "loadmodule \"tcp_mgm.so\"\nmodparam(\"tcp_mgm\", \"db_url\", \"text://{}\")\n\
             modparam(\"tcp_mgm\", \"con_lifetime_col\", \"life\")",
            folder.display()
        );
        TEST_BED.try_bench(&lines, "route { exit; }")
    }

    /// Seconds that an accepted connection from `remote` lives.
    fn lifetime(server: &Server, remote: &str) -> u64 {
        let general = TcpProfile::new(&server.settings.tcp, &StreamOptions::of(Protocol::Tcp));
        let local = "192.0.2.1:5060".parse().unwrap();
        let paths = server.network.paths.as_ref().unwrap();
        let remote = remote.parse().unwrap();
        paths.profile_for(Protocol::Tcp, remote, local, Opening::Accepted, general).lifetime.as_secs()
    }

    fn reload(worker: &'static Worker) -> Result<Value, MiError> {
        let Reply::Later(mut answer) = commands::registry(worker).call(b"tcp_reload", None) else {
            panic!("there is a tcp_reload");
        };
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("a file is not waited for"),
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "1:any:10.0.0.0/8:0:10\n2:tcp:10.1.0.0/16:0:20\n3:tls:10.1.1.0/24:0:30\n4:bin::0:5\n",
        );
        let bench = start(folder.path()).unwrap();
        let server = bench.worker.server;
        assert_eq!(server.state::<State>().paths.count(), 3);
        assert_eq!(
            ["10.9.9.9:1", "10.1.1.1:1", "192.0.2.7:1"].map(|remote| lifetime(server, remote)),
            [10, 20, 120]
        );
    }

    #[test]
    fn a_reload_is_all_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "1:any::0:10\n");
        let bench = start(folder.path()).unwrap();
        let server = bench.worker.server;
        assert_eq!(lifetime(server, "10.9.9.9:1"), 10);
        write(folder.path(), "1:any::0:20\n2:nonsense::0:20\n");
        let problem = format!("{:?}", reload(bench.worker).unwrap_err());
        assert!(problem.contains("line 3: proto: `nonsense` is no protocol"), "{problem}");
        assert_eq!(lifetime(server, "10.9.9.9:1"), 10);
        write(folder.path(), "1:any::0:20\n");
        assert_eq!(reload(bench.worker).unwrap(), Value::from("OK"));
        assert_eq!(lifetime(server, "10.9.9.9:1"), 20);
        write(folder.path(), "");
        assert!(reload(bench.worker).is_ok());
        assert_eq!(Duration::from_secs(lifetime(server, "10.9.9.9:1")), server.settings.tcp.lifetime);
    }

    #[test]
    fn many_rules_find_room() {
        let folder = tempfile::tempdir().unwrap();
        let row = |at: usize| format!("{at}:any:10.{}.{}.0/24:0:{at}\n", at / 256, at % 256);
        write(folder.path(), &(0..MAX_RULES).map(row).collect::<String>());
        let bench = start(folder.path()).unwrap();
        assert_eq!(lifetime(bench.worker.server, "10.15.255.9:1"), 4095);
        write(folder.path(), &(0..=MAX_RULES).map(row).collect::<String>());
        assert!(format!("{:?}", reload(bench.worker).unwrap_err()).contains("4097 rows"));
    }

    #[test]
    fn what_cannot_be_read_keeps_the_server_from_starting() {
        let problem = |line: &str| {
            TEST_BED
                .try_bench(&format!("loadmodule \"tcp_mgm.so\"\n{line}"), "route { exit; }")
                .err()
                .unwrap()
        };
        let given = |name: &str, value: &str| format!("modparam(\"tcp_mgm\", \"{name}\", \"{value}\")\n");
        assert!(problem("").contains("tcp_mgm:db_url: a database is needed"));
        assert!(problem(&given("db_url", "mysql://u:p@h/d")).contains("load the module db_mysql"));
        assert!(
            problem(&given("db_url", "oracle://u:p@h/d"))
                .contains("a kind of database that is not supported")
        );
        let odd = given("db_url", "sqlite:///x") + &given("db_table", "a;b");
        assert!(problem(&odd).contains("cannot be the name of a table"));
        assert!(
            problem(&given("db_url", "text:///no/such/folder")).contains("/no/such/folder/tcp_mgm: No such")
        );
        let other = given("db_url", "text:///tmp") + &given("db_table", "../x");
        assert!(problem(&other).contains("cannot be the name of a table"));
    }
}
