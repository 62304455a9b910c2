//! The one integration test binary.

mod github_model;
mod support;
//! The tests that go through the real binary, in one test program.

mod supervisor;
