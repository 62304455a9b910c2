//! Bringing into a cell what its story needs beyond the base branch, and nothing of anybody else.
//!
//! Not for: the way back (`foreign`).

use std::fs;
use std::io::Write;
use std::path::Path;

use super::Result;
use super::error::While;
use super::objects::{Objects, oid};
use crate::domain::id::Sha;

/// Writes a pack of everything that `commit` needs and `base.git` does not hold into `folder`,
/// which is made. No pack where base has it all.
pub(super) fn pack_beyond_base(
    control: &Objects,
    base: &Objects,
    commit: &Sha,
    folder: &Path,
) -> Result<()> {
    let doing = || format!("pack {commit}");
    fs::create_dir_all(folder).while_doing(doing)?;
    let borrowed = base.tips()?;
    // By history, not by whether the object is there: a fetch that was killed may have left a
    // commit without its files.
    let walk = || -> Result<git2::Revwalk<'_>> {
        let mut walk = control.0.revwalk().while_doing(doing)?;
        walk.push(oid(commit)?).while_doing(doing)?;
        for tip in &borrowed {
            walk.hide(*tip).while_doing(doing)?;
        }
        Ok(walk)
    };
    if walk()?.next().is_none() {
        return Ok(());
    }
    let mut pack = control.0.packbuilder().while_doing(doing)?;
    pack.insert_walk(&mut walk()?).while_doing(doing)?;
    let mut indexer = git2::Indexer::new(None, folder, 0o444, false).while_doing(doing)?;
    let mut failure = None;
    let written = pack.foreach(|bytes| match indexer.write_all(bytes) {
        Ok(()) => true,
        Err(error) => {
            failure = Some(error);
            false
        }
    });
    if let Some(error) = failure {
        return Err(error).while_doing(doing);
    }
    written.while_doing(doing)?;
    indexer.commit().map(drop).while_doing(doing)
}
