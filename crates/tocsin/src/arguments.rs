//! The command line: OpenSIPS's flags, with OpenSIPS's exit status for what is wrong with them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use tocsin_process::Identity;
use tocsin_script::SocketSpec;
use tocsin_server::settings::Overrides;

use crate::answer::Answer;
use crate::{check, demo, doc, events};

/// What the command line asks for.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// `-f`; without it the embedded configuration runs.
    pub(crate) config: Option<PathBuf>,
    /// `-p`: the command that the configuration passes through.
    pub(crate) preprocessor: Option<String>,
    /// `-c` or `-C`: check the configuration and end.
    pub(crate) check: bool,
    /// `-F`, `-D`, or no configuration at all: stay in the foreground.
    pub(crate) foreground: bool,
    /// `-P`.
    pub(crate) pid_file: Option<PathBuf>,
    /// `-G`.
    pub(crate) pgid_file: Option<PathBuf>,
    /// What wins over the configuration.
    pub(crate) overrides: Overrides,
    /// As it was given, for the management interface.
    pub(crate) given: Vec<String>,
}

/// What the program is asked to be.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The server.
    Server(Arguments),
    /// `tocsin events`
    Events(events::Asked),
    /// `tocsin check`
    Check(check::Asked),
    /// `tocsin demo`
    Demo(demo::Asked),
    /// `tocsin doc`
    Doc(doc::Asked),
}

/// Reads the command line.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Answer> {
    let given: Vec<OsString> = arguments.into_iter().collect();
    match given.get(1).and_then(|word| word.to_str()) {
        Some("events") => events::read(given.into_iter().skip(2)).map(Asked::Events),
        Some("check") => check::read(given.into_iter().skip(2)).map(Asked::Check),
        Some("demo") => demo::read(given.into_iter().skip(2)).map(Asked::Demo),
        Some("doc") => doc::read(given.into_iter().skip(2)).map(Asked::Doc),
        Some("help") => Err(Answer::text(help())),
        _ => of_server(&given).map(Asked::Server),
    }
}

/// What the first word of a command line may be beside an option.
const COMMANDS: [&str; 5] = ["check", "demo", "doc", "events", "help"];
/// How alike a mistyped command must be for a suggestion, from 0 to 1.
const SIMILAR_ENOUGH: f64 = 0.8;

/// A word that is no command and belongs to no option would start the embedded configuration, which nobody asked for. With `-f` it
/// is passed over, as recorded.
fn refuse_words(matches: &ArgMatches) -> Result<(), Answer> {
    let word = matches.get_many::<String>("rest").and_then(|mut words| words.next());
    let (Some(word), None) = (word, matches.get_one::<String>("config")) else { return Ok(()) };
    if Path::new(word).is_file() {
        return Err(Answer::error(format!("`{word}` is a file: did you mean tocsin -f {word}?")));
    }
    let likeness = |command: &&str| strsim::jaro_winkler(word, command);
    let nearest = COMMANDS.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    let known = match nearest.filter(|command| likeness(command) >= SIMILAR_ENOUGH) {
        Some(command) => format!("did you mean tocsin {command}?"),
        None => format!("there are {}", COMMANDS.join(", ")),
    };
    Err(Answer::error(format!("there is no command `{word}`: {known}")))
}

/// OpenSIPS's flags.
fn of_server(given: &[OsString]) -> Result<Arguments, Answer> {
    let matches = command().try_get_matches_from(given).map_err(|e| refused(&e))?;
    if matches.get_flag("help") {
        return Err(Answer { text: help(), failed: false });
    }
    if matches.get_flag("version") {
        return Err(Answer { text: version(), failed: false });
    }
    refuse_words(&matches)?;
    let given = given.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    arguments_of(&matches, given)
}

fn arguments_of(matches: &ArgMatches, given: Vec<String>) -> Result<Arguments, Answer> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let path = |name: &str| text(name).map(PathBuf::from);
    let listen = matches.get_many::<String>("listen").unwrap_or_default();
    let debug = matches.get_flag("debug-mode");
    let config = path("config");
    let foreground = matches.get_flag("foreground") || debug || config.is_none();
    let identity = Identity {
        root: path("chroot"),
        directory: path("directory"),
        user: text("user")
            .map(|u| tocsin_process::lookup_account(&u))
            .transpose()
            .map_err(|e| Answer::error(e.to_string()))?,
        group: text("group")
            .map(|g| tocsin_process::lookup_group(&g))
            .transpose()
            .map_err(|e| Answer::error(e.to_string()))?,
    };
    for (flag, name) in ALLOCATOR_FLAGS {
        if let Some(wrong) = text(name).filter(|given| !ALLOCATORS.contains(&given.as_str())) {
            return Err(Answer::error(format!(
                "there is no allocator {wrong} (-{flag}): {} are known, and have no effect",
                ALLOCATORS.join(", ")
            )));
        }
    }
    let overrides = Overrides {
        listen: listen.map(String::as_str).map(socket).collect::<Result<_, _>>()?,
        udp_workers: workers(text("udp-workers"), "-n")?,
        tcp_workers: workers(text("tcp-workers"), "-N")?,
        shared_mib: mebibytes(text("shared"), "shmem", "-m")?,
        private_mib: mebibytes(text("private"), "pkgmem", "-M")?,
        debug,
        verbose: u32::from(matches.get_count("verbose")),
        identity,
    };
    Ok(Arguments {
        check: matches.get_flag("check") || matches.get_flag("check-all"),
        foreground,
        pid_file: path("pid-file"),
        pgid_file: path("pgid-file"),
        preprocessor: preprocessor(text("preprocessor"), config.is_some())?,
        config,
        overrides,
        given,
    })
}

/// The flags that choose one of OpenSIPS's allocators.
const ALLOCATOR_FLAGS: [(char, &str); 4] =
    [('a', "allocator"), ('k', "pkg-allocator"), ('s', "shm-allocator"), ('e', "rpm-allocator")];

/// The allocators that OpenSIPS knows. There is one here, so the choice is read and left alone.
const ALLOCATORS: [&str; 6] =
    ["F_MALLOC", "F_MALLOC_DBG", "Q_MALLOC", "Q_MALLOC_DBG", "HP_MALLOC", "HP_MALLOC_DBG"];

fn preprocessor(command: Option<String>, has_file: bool) -> Result<Option<String>, Answer> {
    match &command {
        Some(command) if command.trim().is_empty() => {
            Err(Answer::error("-p needs a command, such as -p \"m4 env.m4 -\""))
        }
        Some(_) if !has_file => Err(Answer::error("-p needs a configuration to preprocess: name it with -f")),
        _ => Ok(command),
    }
}

fn mebibytes(given: Option<String>, what: &str, flag: &str) -> Result<Option<u64>, Answer> {
    let Some(text) = given else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(0) => Err(Answer::error(format!("bad {what} size number: {flag} 0: at least 2 (MiB) are needed"))),
        Ok(n) if n <= 1 << 24 => Ok(Some(n)),
        _ => Err(Answer::error(format!("bad {what} size number: {flag} {text}"))),
    }
}

/// The most workers that an address may have.
const MAX_WORKERS: u32 = 1024;

fn workers(given: Option<String>, flag: &str) -> Result<Option<u32>, Answer> {
    let Some(text) = given else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(n @ 1..=MAX_WORKERS) => Ok(Some(n)),
        _ => {
            Err(Answer::error(format!("bad process number: {flag} {text}: 1 to {MAX_WORKERS} are possible")))
        }
    }
}

/// `-l [proto:]host[:port]`.
fn socket(text: &str) -> Result<SocketSpec, Answer> {
    let wrong = || Answer::error(format!("bad -l address specifier: {text}"));
    let (protocol, rest) = match text.split_once(':') {
        Some((name, rest)) if tocsin_net::Protocol::parse(name.as_bytes()).is_some() => {
            (name.to_lowercase(), rest)
        }
        Some((name, rest)) if name.chars().all(char::is_alphabetic) && rest.contains('.') => {
            return Err(Answer::error(format!(
                "bad protocol in {name}:{rest}: bad -l address specifier: {text}"
            )));
        }
        _ => ("udp".to_owned(), text),
    };
    let (host, port) = tocsin_net::split_host_port(rest).map_err(|_| wrong())?;
    Ok(SocketSpec { protocol, host: host.to_owned(), ports: port.map(|p| (p, p)), options: Vec::new() })
}

fn refused(error: &clap::Error) -> Answer {
    let flag = error.get(clap::error::ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let flag = flag.split_whitespace().next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument
        | ErrorKind::InvalidValue
        | ErrorKind::TooManyValues
        | ErrorKind::NoEquals => {
            let needs_value = command().get_arguments().any(|argument| {
                argument.get_action().takes_values()
                    && argument.get_short().is_some_and(|short| flag == format!("-{short}"))
            });
            let hint = if needs_value {
                format!("{flag} needs a value")
            } else {
                "tocsin -h lists the options".to_owned()
            };
            Answer::error(format!("Unknown option `{flag}`.\nERROR:core:main: {hint}"))
        }
        _ => Answer::error(error.to_string().trim().to_owned()),
    }
}

fn command() -> Command {
    let value = |name: &'static str, short: char, what: &'static str| {
        Arg::new(name)
            .short(short)
            .value_name(what)
            .action(ArgAction::Set)
            .allow_hyphen_values(true)
            .overrides_with(name)
    };
    let flag = |name: &'static str, short: char| {
        Arg::new(name).short(short).action(ArgAction::SetTrue).overrides_with(name)
    };
    // Tuning of OpenSIPS's that has no counterpart here is read and left alone.
    let ignored = [('b', "buffer"), ('W', "poll")];
    let ignored_flags = [('r', "dns-received"), ('R', "reverse-dns"), ('v', "via-check"), ('E', "stderr")];
    let mut command =
        Command::new("tocsin")
            .disable_help_flag(true)
            .disable_version_flag(true)
            .arg(
                value("config", 'f', "file")
                    .help("configuration file; without one an embedded configuration runs in the foreground"),
            )
            .arg(flag("check", 'c').help("check the configuration and end"))
            .arg(flag("check-all", 'C').help("the same; both list the parameters that have no effect"))
            .arg(
                Arg::new("listen")
                    .short('l')
                    .value_name("address")
                    .action(ArgAction::Append)
                    .help("listen on [proto:]host[:port], instead of the configured addresses"),
            )
            .arg(value("udp-workers", 'n', "processes").help("workers for each UDP address"))
            .arg(value("tcp-workers", 'N', "processes").help("workers for TCP connections"))
            .arg(Arg::new("verbose").short('d').action(ArgAction::Count).help("log more; may be repeated"))
            .arg(flag("debug-mode", 'D').help("foreground, two workers, all logs to standard error"))
            .arg(flag("foreground", 'F').help("stay in the foreground"))
            .arg(value("shared", 'm', "MiB").help("size of the shared memory"))
            .arg(value("private", 'M', "MiB").help("budget of each process's private memory"))
            .arg(value("directory", 'w', "dir").help("working directory"))
            .arg(value("chroot", 't', "dir").help("root directory"))
            .arg(value("user", 'u', "user").help("user to run as"))
            .arg(value("group", 'g', "group").help("group to run as"))
            .arg(value("preprocessor", 'p', "command").help(
                "read the configuration, with what it includes, from what this command makes of its text",
            ))
            .arg(value("pid-file", 'P', "file").help("write the server's pid there"))
            .arg(value("pgid-file", 'G', "file").help("write the server's process group there"))
            .arg(flag("version", 'V').long("version").help("print the version"))
            .arg(flag("help", 'h').long("help").help("print this help"))
            .arg(Arg::new("rest").action(ArgAction::Append).hide(true));
    for (short, name) in ignored.into_iter().chain(ALLOCATOR_FLAGS) {
        command = command.arg(value(name, short, "value").hide(true));
    }
    for (short, name) in ignored_flags {
        command = command.arg(flag(name, short).hide(true));
    }
    command
}

fn version() -> String {
    format!(
        "version: tocsin {} ({}/linux), runs OpenSIPS 3.4 configurations\nflags: shared memory by fork, robust locks, metered private heaps\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}

fn help() -> String {
    format!(
        "{}{}\nTools:\n  tocsin check    what is wrong with a configuration: tocsin check --help\n  tocsin demo     shows the core events, each from its real cause\n  tocsin doc      what a configuration can name: tocsin doc --help\n  tocsin events   what the server tells: tocsin events --help\n",
        version().lines().next().map(|l| format!("{l}\n")).unwrap_or_default(),
        command().render_help()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Answer> {
        let given = std::iter::once("tocsin").chain(line.split_whitespace()).map(OsString::from);
        of_server(&given.collect::<Vec<_>>())
    }

    fn error(line: &str) -> String {
        let text = parse(line).unwrap_err().text;
        text.strip_suffix("NOTICE:core:main: Exiting....\n").unwrap().to_owned()
    }

    #[test]
    fn the_peers_flags_are_read() {
        let a =
            parse("-f x.cfg -F -m 128 -M 8 -n 4 -N 3 -dd -l udp:127.0.0.1:5070 -P pid -a F_MALLOC").unwrap();
        assert_eq!(a.config.unwrap().to_str(), Some("x.cfg"));
        assert!(a.foreground && !a.check);
        assert_eq!((a.overrides.shared_mib, a.overrides.private_mib), (Some(128), Some(8)));
        assert_eq!((a.overrides.udp_workers, a.overrides.verbose), (Some(4), 2));
        assert_eq!(a.overrides.tcp_workers, Some(3));
        assert_eq!(a.overrides.listen[0].ports, Some((5070, 5070)));
    }

    #[test]
    fn without_a_configuration_it_stays_in_the_foreground() {
        assert!(parse("").unwrap().foreground);
        assert!(!parse("-f x.cfg").unwrap().foreground);
    }

    #[test]
    fn wrong_flags_are_named() {
        assert_eq!(
            error("-Z"),
            "ERROR:core:main: Unknown option `-Z`.\nERROR:core:main: tocsin -h lists the options\n"
        );
        assert_eq!(error("-f"), "ERROR:core:main: Unknown option `-f`.\nERROR:core:main: -f needs a value\n");
        assert!(error("--nope").contains("Unknown option `--nope`"));
        assert_eq!(error("-m abc -C -f x.cfg"), "ERROR:core:main: bad shmem size number: -m abc\n");
        assert!(error("-M -3 -C -f x.cfg").contains("bad pkgmem size number: -M -3"));
        assert!(error("-l bogus:1.2.3.4 -C -f x.cfg").contains("bad -l address specifier: bogus:1.2.3.4"));
    }

    #[test]
    fn help_and_version_have_long_names_too() {
        for line in ["-h", "--help", "-V", "--version"] {
            assert!(!parse(line).unwrap_err().failed, "{line}");
        }
    }

    #[test]
    fn a_word_that_is_no_command_is_an_error() {
        assert_eq!(
            error("evnts list"),
            "ERROR:core:main: there is no command `evnts`: did you mean tocsin events?\n"
        );
        assert_eq!(
            error("-F stop"),
            "ERROR:core:main: there is no command `stop`: there are check, demo, doc, events, help\n"
        );
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let expected = format!("ERROR:core:main: `{file}` is a file: did you mean tocsin -f {file}?\n");
        assert_eq!(error(file), expected);
        assert!(parse("-f x.cfg extra").is_ok(), "as recorded");
    }
}
