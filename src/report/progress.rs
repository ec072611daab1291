//! The progress bar: bytes done, events by the second, time left. Drawn on a terminal only.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::numbers::{human_bytes, human_count};

/// How often the bar is drawn at most: often enough to look alive, rarely enough to cost nothing.
const DRAWS_PER_SECOND: u8 = 10;

/// A run's progress on stderr. All threads may report to it.
///
/// Nothing is counted in advance: the total is the size of the files, which the list of files has anyway.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
    events: Arc<AtomicU64>,
}

impl Progress {
    /// A bar on stderr if that is a terminal and `quiet` is off; else one that is never drawn.
    ///
    /// `bytes_total` is what the run is going to read, as the files lie on disk.
    pub fn new(bytes_total: u64, quiet: bool) -> Self {
        let visible = !quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND) } else { ProgressDrawTarget::hidden() };
        let progress = Self::on(bytes_total, target);
        if visible {
            progress.bar.enable_steady_tick(Duration::from_millis(200));
        }
        progress
    }

    /// One that is never drawn: for tests and for runs inside other programs.
    pub fn hidden() -> Self {
        Self::on(0, ProgressDrawTarget::hidden())
    }

    fn on(bytes_total: u64, target: ProgressDrawTarget) -> Self {
        let events = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&events);
        let style = ProgressStyle::with_template("{msg:11} {wide_bar}  {done} {events}{left}")
            .expect("the template is a constant")
            .progress_chars("━╸ ")
            .with_key("done", |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{} of {}", human_bytes(state.pos()), human_bytes(state.len().unwrap_or(0)));
            })
            .with_key("events", move |state: &ProgressState, out: &mut dyn Write| {
                let seconds = state.elapsed().as_secs_f64();
                let rate = if seconds > 0.0 { counter.load(Ordering::Relaxed) as f64 / seconds } else { 0.0 };
                let _ = write!(out, " {} events/s", human_count(rate as u64));
            })
            .with_key("left", |state: &ProgressState, out: &mut dyn Write| {
                if state.pos() > 0 && state.pos() < state.len().unwrap_or(0) {
                    let _ = write!(out, "  {} left", time_left(state.eta()));
                }
            });
        let bar = ProgressBar::with_draw_target(Some(bytes_total), target).with_style(style);
        Progress { bar, events }
    }

    /// Counts `bytes` of files consumed and `events` decoded from them.
    pub fn add(&self, bytes: u64, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    /// Names what goes on now: `folding`, `publishing`.
    pub fn stage(&self, name: impl Into<Cow<'static, str>>) {
        self.bar.set_message(name);
    }

    /// Removes the bar; the summary takes its place.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Runs `f`, which may write to stderr, without the bar in its way.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.bar.suspend(f)
    }

    /// Bytes and events counted until now.
    pub fn counted(&self) -> (u64, u64) {
        (self.bar.position(), self.events.load(Ordering::Relaxed))
    }
}

/// Whole seconds below a minute, then minutes: an estimate shows no more than it knows.
fn time_left(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!("{} s", seconds.max(1)),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_report_to_one_bar() {
        let progress = Progress::on(4000, ProgressDrawTarget::hidden());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        progress.add(10, 3);
                    }
                });
            }
        });
        progress.stage("publishing");
        assert_eq!(progress.counted(), (4000, 1200));
        progress.finish();
    }

    /// A terminal that keeps all that is written to it.
    #[derive(Debug, Clone, Default)]
    struct Recorder(Arc<std::sync::Mutex<String>>);

    impl indicatif::TermLike for Recorder {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> std::io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_shows_bytes_events_and_time_left() {
        let term = Recorder::default();
        let progress = Progress::on(4_000_000, ProgressDrawTarget::term_like(Box::new(term.clone())));
        progress.stage("folding");
        progress.add(1_000_000, 5_000);
        progress.bar.force_draw();
        let shown = term.0.lock().unwrap().clone();
        assert!(shown.contains("folding "), "{shown}");
        assert!(shown.contains("1.00 MB of 4.00 MB"), "{shown}");
        assert!(shown.contains(" events/s"), "{shown}");
        assert!(shown.contains(" left"), "{shown}");
        progress.finish();
    }

    #[test]
    fn time_left_is_short() {
        let shown: Vec<_> = [0, 42, 95, 7500].map(|s| time_left(Duration::from_secs(s))).into();
        assert_eq!(shown, ["1 s", "42 s", "1:35 min", "2 h 05 min"]);
    }
}
