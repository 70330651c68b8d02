//! `-p COMMAND`: the configuration passes through a command of the system before it is read (manual, "Templating
//! opensips.cfg Files").
//!
//! The command gets the text of all files in one stream, as it would see them included. Lines that begin with `__OSSPP_` tell
//! afterwards which file a line came from, so that messages name file and line as without a command.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::memfd::{MFdFlags, memfd_create};
use tocsin_script::{MAX_FILE_BYTES, MAX_FILES, MAX_INCLUDE_DEPTH, SourceMap};

/// In front of the first line of an included file, whose name follows in quotes.
const BEGIN: &str = "__OSSPP_FILEBEGIN__";
/// Behind its last line.
const END: &str = "__OSSPP_FILEEND__";

/// Reads the configuration at `path` through `command`. Relative paths begin at `folder`, where the command runs.
///
/// # Errors
/// Why it cannot be read so, and what can be done.
pub(crate) fn open(folder: &Path, path: &Path, command: &str) -> Result<SourceMap, String> {
    let mut stream = Vec::new();
    Flattening { folder, files: 0 }.add(path, 0, &mut stream).map_err(|cause| {
        format!("core:parse_opensips_cfg: loading config file {}: {cause}", path.display())
    })?;
    let text =
        run(folder, command, &stream).map_err(|problem| format!("core:main: -p {command}: {problem}"))?;
    let name = path.display().to_string();
    let source = parted(&name, &text).map_err(|problem| format!("core:main: -p {command}: {problem}"))?;
    Ok(source.in_folder(folder))
}

/// Runs the command, with `input` as its standard input; its standard error is that of the server.
fn run(folder: &Path, command: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let input = unnamed_file(input).map_err(|cause| format!("no memory for its input: {cause}"))?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(input).stdout(Stdio::piped());
    if !folder.as_os_str().is_empty() {
        shell.current_dir(folder);
    }
    let mut child = shell.spawn().map_err(|cause| format!("/bin/sh cannot be started: {cause}"))?;
    let mut text = Vec::new();
    let most = MAX_FILE_BYTES as u64;
    let read = child.stdout.take().map(|output| output.take(most + 1).read_to_end(&mut text));
    let status = child.wait().map_err(|cause| cause.to_string())?;
    if let Some(Err(cause)) = read {
        return Err(format!("its output cannot be read: {cause}"));
    }
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("it wrote more than {most} bytes: that is no configuration"));
    }
    if !status.success() {
        return Err(format!("it failed ({status}): what it wrote to standard error says why"));
    }
    if text.trim_ascii().is_empty() {
        return Err(
            "it wrote nothing: it has to read the configuration from standard input and write the result to \
                    standard output"
                .to_owned(),
        );
    }
    Ok(text)
}

fn unnamed_file(text: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create(c"configuration", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}

/// Puts included files where they are included.
struct Flattening<'a> {
    folder: &'a Path,
    files: usize,
}

impl Flattening<'_> {
    fn add(&mut self, path: &Path, depth: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.files += 1;
        let mut text = Vec::new();
        File::open(self.folder.join(path))?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text)?;
        if out.len() + text.len() > MAX_FILE_BYTES {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
        }
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let included = included(line).filter(|_| depth < MAX_INCLUDE_DEPTH && self.files < MAX_FILES);
            // What cannot be read stays: who reads the configuration says so, with the place.
            match included.and_then(|name| self.found(&name, path)) {
                Some(file) => {
                    out.extend_from_slice(format!("{BEGIN} \"{}\"\n", file.display()).as_bytes());
                    self.add(&file, depth + 1, out)?;
                    if out.last() != Some(&b'\n') {
                        out.push(b'\n');
                    }
                    out.extend_from_slice(format!("{END}\n").as_bytes());
                }
                None => out.extend_from_slice(line),
            }
        }
        Ok(())
    }

    /// The file as its path stands, else beside the one that includes it.
    fn found(&self, name: &Path, includer: &Path) -> Option<PathBuf> {
        let beside = includer.parent().unwrap_or(Path::new("")).join(name);
        [name.to_path_buf(), beside].into_iter().find(|path| self.folder.join(path).is_file())
    }
}

/// The file that a line includes.
fn included(line: &[u8]) -> Option<PathBuf> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let rest = line.strip_prefix("include_file").or_else(|| line.strip_prefix("import_file"))?.trim_start();
    let (name, rest) = rest.strip_prefix('"')?.split_once('"')?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with('#')).then(|| name.into())
}

/// Takes the stream apart: each included file is at hand again, under its name.
fn parted(name: &str, stream: &[u8]) -> Result<SourceMap, String> {
    let marks = || {
        format!(
            "the lines {BEGIN} and {END} in its output do not match: it has to leave lines that begin with __OSSPP_ as they are"
        )
    };
    let mut open: Vec<(String, Vec<u8>)> = vec![(name.to_owned(), Vec::new())];
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let trimmed = line.trim_ascii();
        if let Some(rest) = trimmed.strip_prefix(BEGIN.as_bytes()) {
            let name = String::from_utf8_lossy(rest).trim().trim_matches('"').to_owned();
            open.push((name, Vec::new()));
        } else if trimmed == END.as_bytes() {
            let (name, text) = open.pop().ok_or_else(marks)?;
            let (_, includer) = open.last_mut().ok_or_else(marks)?;
            let name = filed(&mut files, &name, text);
            includer.extend_from_slice(format!("include_file \"{name}\"\n").as_bytes());
        } else if let Some((_, text)) = open.last_mut() {
            text.extend_from_slice(line);
        }
    }
    let [(_, main)] = &mut open[..] else { return Err(marks()) };
    let source = SourceMap::from_text(name, std::mem::take(main));
    Ok(files.into_iter().fold(source, |source, (name, text)| source.with_file(name, text)))
}

/// Keeps the text of a file, which may differ each time it is included; returns the name that it is found by.
fn filed(files: &mut Vec<(String, Vec<u8>)>, name: &str, text: Vec<u8>) -> String {
    let mut unique = name.to_owned();
    let mut nth = 1;
    loop {
        match files.iter().find(|(known, _)| *known == unique) {
            None => break,
            Some((_, known)) if *known == text => return unique,
            Some(_) => {
                nth += 1;
                unique = format!("{name} ({nth})");
            }
        }
    }
    files.push((unique.clone(), text));
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn lines_that_include_a_file_are_known() {
        let included = |line: &str| included(line.as_bytes()).map(|path| path.display().to_string());
        assert_eq!(included("include_file \"a b.cfg\"\n").as_deref(), Some("a b.cfg"));
        assert_eq!(included("  import_file\t\"x\" # why\r\n").as_deref(), Some("x"));
        assert_eq!(included("include_file x"), None);
        assert_eq!(included("# include_file \"x\""), None);
        assert_eq!(included("include_file \"x\" route { }"), None);
    }

    #[test]
    fn files_pass_in_one_stream_and_come_apart_again() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), "b.cfg", "udp_workers=2");
        let main =
            written(dir.path(), "a.cfg", "log_level=N\ninclude_file \"b.cfg\"\ninclude_file \"none.cfg\"\n");
        let source = open(Path::new(""), &main, "sed 's/N$/3/; s/workers=2/workers=4/'").unwrap();
        let text = String::from_utf8(source.files()[0].text().to_vec()).unwrap();
        let b = dir.path().join("b.cfg").display().to_string();
        assert_eq!(text, format!("log_level=3\ninclude_file \"{b}\"\ninclude_file \"none.cfg\"\n"));
    }

    #[test]
    fn a_file_that_comes_out_differently_the_second_time_has_two_texts() {
        let stream = format!("{BEGIN} \"x\"\na\n{END}\n{BEGIN} \"x\"\nb\n{END}\n{BEGIN} \"x\"\na\n{END}\n");
        let source = parted("main", stream.as_bytes()).unwrap();
        let text = String::from_utf8_lossy(source.files()[0].text()).into_owned();
        assert_eq!(text, "include_file \"x\"\ninclude_file \"x (2)\"\ninclude_file \"x\"\n");
    }

    #[test]
    fn what_went_wrong_is_said() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), "b.cfg", "x");
        written(dir.path(), "a.cfg", "include_file \"b.cfg\"\n");
        for (command, problem) in [
            ("exit 3", "it failed (exit status: 3)"),
            ("cat >/dev/null", "it wrote nothing"),
            ("grep -v END", "do not match"),
            ("nosuchcommand", "it failed (exit status: 127)"),
            ("cat /dev/zero", "no configuration"),
        ] {
            let said = open(dir.path(), Path::new("a.cfg"), command).unwrap_err();
            assert!(
                said.starts_with(&format!("core:main: -p {command}: ")) && said.contains(problem),
                "{said}"
            );
        }
        assert!(open(dir.path(), Path::new("none"), "cat").unwrap_err().contains("loading config file"));
    }
}
