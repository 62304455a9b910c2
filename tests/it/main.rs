//! The tests that go through the real binary, in one test program.

mod supervisor;
