//! What all verbs need: the project, the output, the machine's size.

use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Global;
use crate::error::{Error, Kind};
use crate::files;
use crate::printable::{printable_lines, printable_painted};
use crate::project::{self, Project};
use crate::report::{ColorChoice, stderr_color, stdout_color};
use crate::source::chunks::RECORD_BYTES_MAX;

pub struct Context {
    file: PathBuf,
    variables: std::collections::BTreeMap<String, String>,
    pub threads: usize,
    pub memory_bytes: u64,
    /// The longest record that is read.
    pub record_bytes_max: u64,
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    color: ColorChoice,
    /// What the process exits with where no error says it.
    pub exit_code: Cell<u8>,
}

impl Context {
    pub fn new(global: &Global) -> Context {
        let threads = global.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), usize::from);
        Context {
            file: if global.project.is_dir() { global.project.join("foldline.toml") } else { global.project.clone() },
            variables: global.variables.iter().cloned().collect(),
            threads,
            memory_bytes: global.memory.unwrap_or_else(|| machine_memory_bytes() / 2),
            record_bytes_max: global.max_record_bytes.unwrap_or(RECORD_BYTES_MAX),
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            color: global.color,
            exit_code: Cell::new(0),
        }
    }

    /// Loads and compiles the project; every error that it has.
    pub fn project(&self) -> Result<Project, Vec<Error>> {
        if !self.file.exists() {
            let error = Error::new(Kind::NoInput, format!("there is no project file {}", self.file.display()));
            let help = if self.file == Path::new("foldline.toml") {
                "go to the project's folder, or name its file: `foldline --project FILE …`"
            } else {
                "`--project` takes a foldline.toml or the folder that it lies in"
            };
            return Err(vec![error.with_help(help)]);
        }
        project::load(&self.file, &self.variables)
    }

    /// The project's folder, without looking into the project file; it has to be there.
    pub fn root(&self) -> Result<PathBuf, Error> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !self.file.exists() && !folder.join(".foldline").exists() {
            return Err(Error::new(Kind::NoInput, format!("there is no project file {}", self.file.display()))
                .with_help("`--project` takes a foldline.toml or the folder that it lies in"));
        }
        std::path::absolute(folder).map_err(|e| Error::io("find", folder, e))
    }

    pub fn color(&self) -> bool {
        stderr_color(self.color)
    }

    /// Whether data for a person, on stdout, has colors.
    pub fn stdout_color(&self) -> bool {
        stdout_color(self.color)
    }

    /// A message for a person, on stderr; nothing with `--quiet`. What is no printable character is spelled out.
    pub fn say(&self, text: &str) {
        self.say_painted(&printable_lines(text));
    }

    /// As [`Context::say`], of a text with colors in it, whose names and values are printable.
    pub fn say_painted(&self, text: &str) {
        if !self.quiet {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// A report for a person, or JSON, on stdout. What is no printable character is spelled out, which JSON undoes.
    pub fn print(&self, text: &str) -> Result<(), Vec<Error>> {
        self.print_exactly(&printable_lines(text))
    }

    /// Data, on stdout, byte by byte. A reader who has gone away is no error.
    pub fn print_exactly(&self, text: &str) -> Result<(), Vec<Error>> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(vec![Error::io("write to", Path::new("stdout"), e)]),
            _ => Ok(()),
        }
    }

    pub fn print_errors(&self, errors: &[Error]) {
        let color = self.color();
        let texts: Vec<String> = errors.iter().map(|e| e.render(color)).collect();
        let _ = std::io::stderr().lock().write_all(texts.join("\n").as_bytes());
    }

    /// The warnings of `check`, on stderr.
    pub fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.say(&format!("{}\n", warning.trim_end()));
        }
    }
}

/// Data on stdout that comes piece by piece. Once its reader has gone away nothing is written any more, which is no error.
pub struct Out {
    out: Option<std::io::BufWriter<std::io::Stdout>>,
}

impl Out {
    pub fn new() -> Out {
        Out { out: Some(std::io::BufWriter::with_capacity(1 << 16, std::io::stdout())) }
    }

    /// Lines with colors, whose names and values are printable, or JSON.
    pub fn write(&mut self, text: &str) -> Result<(), Error> {
        let text = printable_painted(text);
        let written = self.out.as_mut().map_or(Ok(()), |out| out.write_all(text.as_bytes()));
        self.done(written)
    }

    pub fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.out.as_mut().map_or(Ok(()), |out| out.flush());
        self.done(flushed)
    }

    /// The reader has gone away.
    pub fn is_gone(&self) -> bool {
        self.out.is_none()
    }

    fn done(&mut self, result: std::io::Result<()>) -> Result<(), Error> {
        match result {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
                // what is still in the buffer has nowhere to go
                self.out.take().map(std::io::BufWriter::into_parts);
                Ok(())
            }
            Err(e) => Err(Error::io("write to", Path::new("stdout"), e)),
            Ok(()) => Ok(()),
        }
    }
}

/// The memory of the machine, or of the container that this runs in.
fn machine_memory_bytes() -> u64 {
    let total = files::read_to_string(Path::new("/proc/meminfo")).ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let limit = files::read_to_string(Path::new("/sys/fs/cgroup/memory.max")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match (total, limit) {
        (Some(total), Some(limit)) => total.min(limit),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => 4 << 30,
    }
}
