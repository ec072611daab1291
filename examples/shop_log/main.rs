//! Writes the event log of an imaginary shop, of any size: input for demos, tests and measurements.
//!
//! ```text
//! cargo run --release --example shop_log -- --events 1000000 --out shop.ndjson
//! cargo run --release --example shop_log -- --events 24000 --files a.ndjson=3000,b.ndjson.gz,c.ndjson.zst
//! ```
//!
//! The same arguments give the same bytes everywhere: there is no clock in it, and the random numbers are its own.
//! Streams are interleaved as in a real shop (thousands of orders are open at once), versions are contiguous in
//! each stream from 1, positions are contiguous over the log, and an event is about 268 bytes long. About a gigabyte a
//! second is written, so that a log costs less than any use of it.

mod shop;
mod text;
mod words;
mod write;

use std::process::ExitCode;

use shop::{Kind, Shop};
use write::{Levels, write_file};

const USAGE: &str = "\
usage: shop_log --events N [--seed S] [KIND] [--zstd-level L] (--out FILE | --files FILE[=EVENTS],...)

  --events N      how many events
  --seed S        another seed gives another log [default: 1]
  --zstd-level L  of .zst files [default: 19]
  --out FILE      `-` is stdout; .gz and .zst are compressed
  --files ...     the log in several files, in log order; a file without =EVENTS takes an even share of the rest

KIND is one of
  --skew          a fifth of the events are in one stream
  --wide          every payload has a text of 2 KB that nobody needs
  --unhandled     four fifths of the events are of 200 other types, in streams of their own
  --brief         every event but the first few begins a stream
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let (mut events, mut seed, mut files) = (None, 1u64, Vec::new());
    let (mut kind, mut levels) = (Kind::Plain, Levels::default());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--help" || arg == "-h" {
            print!("{USAGE}");
            return Ok(());
        }
        let flag = match arg.as_str() {
            "--skew" => Kind::Skew,
            "--wide" => Kind::Wide,
            "--unhandled" => Kind::Unhandled,
            "--brief" => Kind::Brief,
            _ => Kind::Plain,
        };
        if flag != Kind::Plain {
            kind = flag;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("`{arg}` needs a value\n{USAGE}"))?;
        let number = || value.replace('_', "").parse::<u64>().map_err(|_| format!("`{arg} {value}`: not a number"));
        match arg.as_str() {
            "--events" => events = Some(number()?),
            "--seed" => seed = number()?,
            "--zstd-level" => levels.zstd = number()?.clamp(1, 22) as i32,
            "--out" => files = vec![(value, None)],
            "--files" => files = value.split(',').map(parse_file).collect::<Result<_, _>>()?,
            _ => return Err(format!("`{arg}` is not an option\n{USAGE}")),
        }
    }
    let events = events.ok_or_else(|| format!("`--events` is missing\n{USAGE}"))?;
    if files.is_empty() {
        return Err(format!("`--out` or `--files` is missing\n{USAGE}"));
    }

    let mut shop = Shop::new(events, seed, kind);
    for (name, count) in share(events, &files)? {
        write_file(&mut shop, &name, count, levels).map_err(|e| format!("cannot write {name}: {e}"))?;
    }
    Ok(())
}

/// `NAME` or `NAME=EVENTS`.
fn parse_file(arg: &str) -> Result<(String, Option<u64>), String> {
    match arg.rsplit_once('=') {
        None => Ok((arg.to_string(), None)),
        Some((name, count)) => Ok((name.to_string(), Some(count.parse().map_err(|_| format!("`{arg}`: not a number of events"))?))),
    }
}

/// How many events each file gets: what it asks for, or an even share of what is left.
fn share(events: u64, files: &[(String, Option<u64>)]) -> Result<Vec<(String, u64)>, String> {
    let fixed: u64 = files.iter().filter_map(|f| f.1).sum();
    let mut open = files.iter().filter(|f| f.1.is_none()).count() as u64;
    let mut rest = events.checked_sub(fixed).ok_or_else(|| format!("the files ask for {fixed} events, the log has {events}"))?;
    if open == 0 && rest > 0 {
        return Err(format!("the files ask for {fixed} events, the log has {events}"));
    }
    let mut shares = Vec::new();
    for (name, count) in files {
        let count = count.unwrap_or_else(|| {
            let part = rest / open;
            open -= 1;
            rest -= part;
            part
        });
        shares.push((name.clone(), count));
    }
    Ok(shares)
}
