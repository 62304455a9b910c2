//! Any program as an agent: `sh -c <command>` in the worktree, the prompt in the file that
//! `HUSKIES_PROMPT_FILE` names (system part and prompt together). Its exit status is its word.

use super::{Exit, Launch, Progress, Runtime, StreamParser, Tail, Unlaunchable};
use crate::agent::LaunchRequest;
use crate::domain::work::{End, Start, Usage};

pub(super) struct Command;

impl Runtime for Command {
    fn launch(&self, request: &LaunchRequest) -> Result<Launch, Unlaunchable> {
        let Some(command) = &request.agent.command else {
            return Err(Unlaunchable(format!(
                "the agent `{}` has the runtime `command` but no `command` key; say what to run, as in `command = \"./agent.sh\"`",
                request.agent.name
            )));
        };
        let mut argv = vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            command.clone(),
            "sh".to_owned(),
        ];
        argv.extend_from_slice(&request.agent.args);
        Ok(Launch {
            argv,
            environment: Vec::new(),
            prompt_file: request.prompt.together(),
            install_hint: "install a POSIX shell".to_owned(),
        })
    }

    fn parser(&self, _: &Start) -> Box<dyn StreamParser> {
        Box::new(CommandParser::default())
    }
}

#[derive(Debug, Default)]
struct CommandParser {
    tail: Tail,
}

/// Shells answer 126 for what is not executable and 127 for what is not there (POSIX, 2.8.2).
const NOT_RUN: [i32; 2] = [126, 127];

impl StreamParser for CommandParser {
    fn line(&mut self, line: &str) -> Vec<Progress> {
        self.tail.push(line);
        Vec::new()
    }

    fn end(&self, exit: Exit) -> End {
        match exit {
            Exit::Status(0) => End::Finished,
            Exit::Status(status) if NOT_RUN.contains(&status) => End::CannotLaunch {
                message: self.tail.explain(&exit.to_string()),
            },
            exit if exit.is_abort() => End::Aborted,
            Exit::Status(_) | Exit::Signal(_) => End::Crashed {
                message: self.tail.explain(&exit.to_string()),
            },
        }
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_decides() {
        let mut parser = CommandParser::default();
        parser.line("sh: 1: ./agent: not found");
        let message = |what: &str| format!("{what}: sh: 1: ./agent: not found");
        assert_eq!(parser.end(Exit::Status(0)), End::Finished);
        assert_eq!(
            parser.end(Exit::Status(127)),
            End::CannotLaunch {
                message: message("exit status 127")
            }
        );
        assert_eq!(
            parser.end(Exit::Status(126)),
            End::CannotLaunch {
                message: message("exit status 126")
            }
        );
        assert_eq!(parser.end(Exit::Status(134)), End::Aborted);
        assert_eq!(parser.end(Exit::Signal(6)), End::Aborted);
        assert_eq!(
            parser.end(Exit::Status(3)),
            End::Crashed {
                message: message("exit status 3")
            }
        );
        assert_eq!(
            parser.end(Exit::Signal(9)),
            End::Crashed {
                message: message("signal 9")
            }
        );
    }

    #[test]
    fn the_kept_tail_does_not_grow_with_the_output() {
        let mut parser = CommandParser::default();
        for number in 0..100_000 {
            parser.line(&format!("line {number}"));
        }
        parser.line(&"x".repeat(1 << 20));
        assert!(parser.tail.text.len() <= 3 * Tail::BYTES);
        assert_eq!(parser.tail.text(), "x".repeat(Tail::BYTES));
    }
}
