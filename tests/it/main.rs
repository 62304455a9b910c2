mod gate;
mod hook;
mod repository;
