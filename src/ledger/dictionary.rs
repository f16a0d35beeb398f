//! Numbers for operators, lines and stops, in the order in which the journal names them. 0 is
//! "not known". (skeleton)

use crate::domain::{LineId, OperatorCode, StopId};

#[derive(Clone)]
pub struct Dictionary;

impl Dictionary {
    pub fn operator_number(&self, _code: &str) -> Option<u16> {
        todo!()
    }
    pub fn line_number(&self, _id: &str) -> Option<u32> {
        todo!()
    }
    pub fn stop_number(&self, _id: &str) -> Option<u32> {
        todo!()
    }
    pub fn operator(&self, _number: u16) -> Option<&OperatorCode> {
        todo!()
    }
    pub fn line(&self, _number: u32) -> Option<&LineId> {
        todo!()
    }
    pub fn stop(&self, _number: u32) -> Option<&StopId> {
        todo!()
    }
    /// The operator of a line (numbers).
    pub fn operator_of_line(&self, _line: u32) -> u16 {
        todo!()
    }
    /// One more than the highest number.
    pub fn operators(&self) -> usize {
        todo!()
    }
    pub fn lines(&self) -> usize {
        todo!()
    }
    pub fn stops(&self) -> usize {
        todo!()
    }
}
