//! The webhook sink: posts orders to any system that understands a signed request.

pub mod config;
