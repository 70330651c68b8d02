//! Programs of others that the tests run as clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The Python that has the packages `opensips`, `opensipscli`, `pika` and `websockets`: `TOCSIN_PYTHON`, or the project's own.
pub(crate) fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let python = std::env::var_os("TOCSIN_PYTHON").map_or(own, PathBuf::from);
    let check = Command::new(&python).args(["-c", "import opensips, opensipscli, pika, websockets"]).output();
    assert!(
        check.is_ok_and(|output| output.status.success()),
        "{} lacks one of the packages opensips, opensipscli, pika and websockets: run ./test, which installs them",
        python.display()
    );
    python
}

/// Runs `command`, which must be there, to its end.
pub(crate) fn run_tool(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|cause| panic!("{name}: {cause}: run ./test, which installs it"))
}
