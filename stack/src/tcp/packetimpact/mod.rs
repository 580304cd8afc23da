//! The behaviours of packetimpact's list (`docs/conformance.md`), each as a test of the same name: what a TCP must do that another suite
//! looks at from outside. What is about loss recovery is beside that.

mod ending;
mod opening;
mod standing;
mod windows;
