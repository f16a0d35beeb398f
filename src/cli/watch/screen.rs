//! The terminal while a watch is drawn: another screen, no cursor, keys read; all put back
//! when it is dropped.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, poll, read};
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};

use tokio::sync::mpsc;

use super::super::failure::Failure;
use crate::domain::text::without_controls;

/// How long one look at the keyboard takes, so that its thread ends with the screen.
const LOOK: Duration = Duration::from_millis(200);
/// Columns and lines of a terminal that does not tell.
const SIZE_DEFAULT: (u16, u16) = (80, 24);
/// What was done and not yet taken. More waits in the terminal.
const DONE_MAX: usize = 16;

/// The screen.
pub struct Screen {
    done: mpsc::Receiver<io::Result<Done>>,
}

/// What whoever sits there did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Asked to end: q, Escape or Ctrl-C.
    End,
    /// Made the window larger or smaller.
    Resized,
}

impl Screen {
    /// Takes the terminal over.
    pub fn open() -> Result<Self, Failure> {
        let (sender, done) = mpsc::channel(DONE_MAX);
        enable_raw_mode()?;
        let screen = Self { done };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        // A thread of its own: a read that is given up would take a key with it.
        std::thread::Builder::new()
            .name("keyboard".to_owned())
            .spawn(move || read_keyboard(&sender))?;
        Ok(screen)
    }

    /// Waits until something is done. Safe to drop.
    pub async fn done(&mut self) -> Result<Done, Failure> {
        // Without a keyboard there is nobody who could end it otherwise.
        Ok(self.done.recv().await.unwrap_or(Ok(Done::End))?)
    }

    /// Draws lines of text, given how many columns and lines there are.
    pub fn draw(&mut self, text: impl FnOnce(usize, usize) -> Vec<String>) -> Result<(), Failure> {
        let (columns, lines) = known(size()?);
        Ok(draw_on(
            &mut io::stdout().lock(),
            &text(columns.into(), lines.into()),
            lines,
        )?)
    }
}

/// How large a terminal is taken to be that tells no size, and says that it has none.
fn known((columns, lines): (u16, u16)) -> (u16, u16) {
    match columns == 0 || lines == 0 {
        true => SIZE_DEFAULT,
        false => (columns, lines),
    }
}

/// Draws lines of text on a terminal of so many. What was there is cleared before a line and not after
/// it: behind one that fills its line, a terminal may take the last character for what follows.
fn draw_on(out: &mut impl Write, text: &[String], lines: u16) -> io::Result<()> {
    for (place, line) in (0..lines).zip(text) {
        queue!(
            out,
            MoveTo(0, place),
            Clear(ClearType::CurrentLine),
            Print(without_controls(line))
        )?;
    }
    let drawn = u16::try_from(text.len()).unwrap_or(u16::MAX);
    if drawn < lines {
        queue!(out, MoveTo(0, drawn), Clear(ClearType::FromCursorDown))?;
    }
    out.flush()
}

fn read_keyboard(done: &mpsc::Sender<io::Result<Done>>) {
    while !done.is_closed() {
        let told = match look() {
            Ok(Some(told)) => Ok(told),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        let is_last = told.is_err();
        if done.blocking_send(told).is_err() || is_last {
            return;
        }
    }
}

fn look() -> io::Result<Option<Done>> {
    if !poll(LOOK)? {
        return Ok(None);
    }
    Ok(match read()? {
        Event::Key(key) => is_end(key).then_some(Done::End),
        Event::Resize(..) => Some(Done::Resized),
        _ => None,
    })
}

fn is_end(key: KeyEvent) -> bool {
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that does not take its own state back.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &[&str], lines: u16) -> String {
        let text: Vec<_> = text.iter().map(|line| (*line).to_owned()).collect();
        let mut out = Vec::new();
        draw_on(&mut out, &text, lines).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn terminal_that_tells_no_size_is_drawn_on() {
        assert_eq!(known((0, 0)), SIZE_DEFAULT);
        assert_eq!(known((120, 40)), (120, 40));
    }

    #[test]
    fn nothing_is_cleared_behind_a_line_that_may_fill_its_own() {
        let screen = drawn(&["one", "two"], 2);
        assert_eq!(screen, "\x1b[1;1H\x1b[2Kone\x1b[2;1H\x1b[2Ktwo");
    }

    #[test]
    fn what_is_left_of_a_longer_text_goes() {
        assert!(drawn(&["o\x1be"], 3).ends_with("o e\x1b[2;1H\x1b[J"));
        assert!(drawn(&["one"], 3).ends_with("one\x1b[2;1H\x1b[J"));
        assert_eq!(drawn(&[], 3), "\x1b[1;1H\x1b[J");
    }

    #[test]
    fn lines_that_have_no_place_are_left_out() {
        assert!(drawn(&["one", "two", "three"], 2).ends_with("two"));
    }
}
