//! What the two Secrets have to become. Pure.
//!
//! Pods get what is published late, each at its own time. So at every moment any two pods may have any two of the versions that were published since
//! then, and have to accept each other all the same. An authority is changed in three steps, each of which waits until the one before has reached
//! every pod:
//!
//! 1. the new authority joins the bundle; the certificate stays;
//! 2. the new authority issues the certificate; both are trusted;
//! 3. the old authority leaves the bundle.
//!
//! Members say what has reached them. As long as one of them says something older, its pod is waited for, however long that takes: too late a step
//! costs nothing, as whoever issues goes on issuing, and too early a one costs links. For a pod that says nothing, [`Times::sync`] has to be enough. When all have said
//! that they have it, nothing more is waited for: a pod that starts later reads the Secret as it is then.
//!
//! The operator's Secret is written first in each step, so that it can always tell which certificate no pod can be without. If it is lost, the
//! authorities in the pods' bundle are still trusted, without their keys, while a new one comes in by the same three steps.

use holdfast_api::LinksReport;
use jiff::{SignedDuration, Timestamp};

use super::{Authorities, Authority, Holder, IssueError, Leaf, Published, Requests, Stored, Times};

/// Something to do, in the order in which it is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Goes on trusting what pods trust, though its keys are lost.
    Adopt,
    /// Makes another authority, which issues nothing yet.
    AddAuthority,
    /// From now on the newest authority issues.
    Switch,
    /// Nobody but the issuing authority is trusted any more.
    DropOthers,
    /// Writes the pods' Secret; with a new certificate, or with the one that is there.
    Publish {
        /// Whether the certificate is a new one.
        issue: bool,
    },
}

/// What is to be done now; nothing most of the time.
pub(super) fn plan(now: Timestamp, stored: &Stored, requests: &Requests, holders: &[Holder], times: &Times) -> Vec<Step> {
    let mut steps = Vec::new();
    let published = stored.published.clone().unwrap_or_default();
    let leaf = published.leaf.as_ref();

    let mut authorities = stored.authorities.clone();
    let lost = authorities.as_ref().map_or(!published.bundle.is_empty(), |authorities| is_foreign(authorities, &published));
    if lost {
        steps.push(Step::Adopt);
        authorities = Some(adopted(authorities.as_ref(), &published));
    }
    let newest = authorities.as_ref().and_then(|authorities| authorities.list.last());
    let signer = authorities.as_ref().and_then(Authorities::signing);
    let asked = |wanted: &Option<String>, done: Option<&String>| wanted.is_some() && wanted.as_ref() != done;

    let settled = newest.is_some() && newest.map(|newest| &newest.id) == signer.map(|signer| &signer.id);
    let add = newest.is_none_or(|newest| newest.key.is_none())
        || settled
            && (newest.is_some_and(|newest| is_due(now, newest.from, newest.until))
                || asked(&requests.authority, authorities.as_ref().and_then(|authorities| authorities.rotated.as_ref())));
    if add {
        steps.push(Step::AddAuthority);
    }

    // Without a certificate that members can use there is nothing that waiting would keep.
    let helpless = signer.is_none_or(|signer| signer.key.is_none()) && leaf.is_none_or(|leaf| leaf.until <= now);
    let in_time = |since: Option<Timestamp>| since.is_some_and(|since| since <= now && now.duration_since(since) >= times.sync);
    let everywhere = |since: Option<Timestamp>, has: &dyn Fn(&LinksReport) -> bool| match spread(holders, has) {
        Spread::Everywhere => since.is_some_and(|since| since <= now),
        Spread::Unknown => in_time(since),
        Spread::NotYet => false,
    };
    let newest_is_published = newest.is_some_and(|newest| published.bundle.iter().any(|known| known.id == newest.id));
    let switch = helpless
        || !add
            && !settled
            && newest_is_published
            && newest.is_some_and(|newest| everywhere(published.bundle_since, &|has| has.authorities.contains(&newest.id)));
    if switch {
        steps.push(Step::Switch);
    }

    let by_signer = leaf.is_some_and(|leaf| signer.is_some_and(|signer| signer.id == leaf.authority));
    let others = authorities.as_ref().is_some_and(|authorities| authorities.list.len() > 1);
    let drop = !add
        && !switch
        && settled
        && others
        && by_signer
        && leaf.is_some_and(|leaf| everywhere(published.leaf_since, &|has| has.certificate.as_ref() == Some(&leaf.id)));
    if drop {
        steps.push(Step::DropOthers);
    }

    let can_issue = switch || signer.is_some_and(|signer| signer.key.is_some());
    let issue = switch
        || can_issue
            && (!by_signer
                || leaf.is_none_or(|leaf| is_due(now, leaf.from, leaf.until))
                || asked(&requests.certificates, published.rotated.as_ref()));
    let listed = authorities
        .as_ref()
        .is_some_and(|authorities| authorities.list.iter().map(|known| &known.id).eq(published.bundle.iter().map(|known| &known.id)));
    let dated = |since: Option<Timestamp>| since.is_some_and(|since| since <= now + times.sync);
    if add || drop || issue || !listed || !dated(published.bundle_since) || !dated(published.leaf_since) {
        steps.push(Step::Publish { issue });
    }
    steps
}

/// How far something has come that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// Every pod says that it has it.
    Everywhere,
    /// Nobody says the contrary, and not everybody says anything.
    Unknown,
    /// A pod says that it has something else.
    NotYet,
}

fn spread(holders: &[Holder], has: &dyn Fn(&LinksReport) -> bool) -> Spread {
    let mut told = holders.iter().map(|holder| holder.has.as_ref().map(has));
    if holders.iter().filter_map(|holder| holder.has.as_ref()).any(|report| !has(report)) {
        Spread::NotYet
    } else if !holders.is_empty() && told.all(|told| told == Some(true)) {
        Spread::Everywhere
    } else {
        Spread::Unknown
    }
}

/// The pods that the next step of a change of authorities waits for.
pub(super) fn waiting_for(stored: &Stored, holders: &[Holder]) -> Vec<String> {
    let (Some(authorities), Some(published)) = (&stored.authorities, &stored.published) else { return Vec::new() };
    let Some(newest) = authorities.list.last().filter(|_| authorities.list.len() > 1) else { return Vec::new() };
    let leaf = published.leaf.as_ref().map(|leaf| &leaf.id);
    let is_issuing = newest.id == authorities.signer;
    let has = |report: &LinksReport| if is_issuing { report.certificate.as_ref() == leaf } else { report.authorities.contains(&newest.id) };
    holders.iter().filter(|holder| !holder.has.as_ref().is_some_and(has)).map(|holder| holder.pod.clone()).collect()
}

/// After two thirds of its life.
fn is_due(now: Timestamp, from: Timestamp, until: Timestamp) -> bool {
    let third = SignedDuration::from_secs(until.duration_since(from).as_secs() / 3);
    now >= until - third
}

/// Whether pods rely on an authority that the operator's Secret does not know: that is then an old one, brought back from somewhere.
fn is_foreign(authorities: &Authorities, published: &Published) -> bool {
    published.leaf.as_ref().is_some_and(|leaf| {
        published.bundle.iter().any(|trusted| trusted.id == leaf.authority)
            && authorities.list.iter().all(|known| known.id != leaf.authority)
    })
}

/// What pods trust, and then what was known besides.
fn adopted(known: Option<&Authorities>, published: &Published) -> Authorities {
    let known_list = known.map(|known| known.list.as_slice()).unwrap_or_default();
    let is_known = |authority: &&Authority| known_list.iter().any(|known| known.id == authority.id);
    let list = published.bundle.iter().filter(|authority| !is_known(authority)).chain(known_list).cloned().collect();
    let signer = published.leaf.as_ref().map(|leaf| leaf.authority.clone()).unwrap_or_default();
    Authorities { list, signer, rotated: known.and_then(|known| known.rotated.clone()) }
}

impl Authorities {
    /// The one that issues.
    pub fn signing(&self) -> Option<&Authority> {
        self.list.iter().find(|authority| authority.id == self.signer)
    }
}

/// Makes keys and certificates.
pub(super) trait Issue {
    /// An authority.
    ///
    /// # Errors
    /// When it cannot be made.
    fn authority(&mut self, now: Timestamp) -> Result<Authority, IssueError>;

    /// A certificate for the members.
    ///
    /// # Errors
    /// When it cannot be made.
    fn leaf(&mut self, now: Timestamp, authority: &Authority) -> Result<Leaf, IssueError>;
}

/// What the Secrets are after these steps.
///
/// # Errors
/// When something cannot be made.
pub(super) fn carry_out(
    now: Timestamp,
    steps: &[Step],
    stored: &Stored,
    requests: &Requests,
    issuer: &mut impl Issue,
) -> Result<Stored, IssueError> {
    let mut authorities = stored.authorities.clone();
    let mut published = stored.published.clone();
    for step in steps {
        match step {
            Step::Adopt => authorities = Some(adopted(authorities.as_ref(), &published.clone().unwrap_or_default())),
            Step::AddAuthority => {
                let new = issuer.authority(now)?;
                let mut to = authorities.unwrap_or_else(|| Authorities { list: Vec::new(), signer: new.id.clone(), rotated: None });
                to.list.push(new);
                to.rotated = requests.authority.clone().or(to.rotated);
                authorities = Some(to);
            }
            Step::Switch => {
                if let Some(authorities) = &mut authorities
                    && let Some(newest) = authorities.list.last()
                {
                    authorities.signer.clone_from(&newest.id);
                }
            }
            Step::DropOthers => {
                if let Some(authorities) = &mut authorities {
                    let signer = authorities.signer.clone();
                    authorities.list.retain(|authority| authority.id == signer);
                }
            }
            Step::Publish { issue } => {
                let Some(authorities) = &authorities else { continue };
                let before = published.take().unwrap_or_default();
                let bundle: Vec<Authority> =
                    authorities.list.iter().map(|authority| Authority { key: None, ..authority.clone() }).collect();
                let gained = bundle.iter().any(|authority| before.bundle.iter().all(|known| known.id != authority.id));
                let kept = |since: Option<Timestamp>| since.filter(|since| *since <= now);
                let mut next = Published {
                    bundle_since: if gained { Some(now) } else { kept(before.bundle_since).or(Some(now)) },
                    leaf_since: kept(before.leaf_since).or(Some(now)),
                    bundle,
                    ..before
                };
                if *issue && let Some(signer) = authorities.signing() {
                    next.leaf = Some(issuer.leaf(now, signer)?);
                    next.leaf_since = Some(now);
                    next.rotated = requests.certificates.clone().or(next.rotated);
                }
                published = Some(next);
            }
        }
    }
    Ok(Stored { authorities, published })
}

#[cfg(test)]
mod tests;
