//! The terminal while a watch is drawn: another screen, no cursor, keys read; all put back
//! when it is dropped.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, poll, read};
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};

use super::super::failure::Failure;

/// The screen.
pub struct Screen(());

impl Screen {
    /// Takes the terminal over.
    pub fn open() -> Result<Self, Failure> {
        enable_raw_mode()?;
        let screen = Self(());
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws lines of text, given how many columns and lines there are.
    pub fn draw(&mut self, text: impl FnOnce(usize, usize) -> Vec<String>) -> Result<(), Failure> {
        let (columns, lines) = size()?;
        let mut out = io::stdout().lock();
        for (place, line) in (0..).zip(text(columns.into(), lines.into())) {
            queue!(
                out,
                MoveTo(0, place),
                Print(line),
                Clear(ClearType::UntilNewLine)
            )?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()?;
        Ok(())
    }

    /// Waits for a key; says whether it asks to end: q, Escape or Ctrl-C.
    pub async fn wait_for_key(&mut self, wait: Duration) -> Result<bool, Failure> {
        let key = tokio::task::spawn_blocking(move || -> io::Result<Option<KeyEvent>> {
            if !poll(wait)? {
                return Ok(None);
            }
            Ok(read()?.as_key_event())
        });
        let key = key
            .await
            .map_err(|error| Failure::unexpected("could not read keys", &error))??;
        Ok(key.is_some_and(|key| {
            let is_interrupt =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        }))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that does not take its own state back.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
