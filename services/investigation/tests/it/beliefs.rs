//! What is believed with answers, and what is worth asking.

use investigation::query::beliefs::{Beliefs, Open};
use investigation::query::predictions::{self, OBSERVATIONS, PREDICTIONS};
use proptest::prelude::*;
use shared::events::Category;
use shared::events::question::{LogTopic, Role, Subject};
use shared::events::rca::Verdict;

use crate::scene::{sources, suspect};

fn open(service: &str, category: Category) -> Vec<Open> {
    predictions::of(category).map(|subject| (service.to_owned(), subject)).collect()
}

fn role(role: Role) -> Subject {
    Subject::Series { role }
}

#[test]
fn what_a_cause_predicts_is_an_observation_and_more_likely_with_it_than_without() {
    for (category, subject, hit) in PREDICTIONS {
        let (_, base) = predictions::observation(subject).unwrap();
        assert!(0.0 < base && base < hit && hit < 1.0, "{category:?} {subject:?}");
    }
    for (number, (subject, ..)) in OBSERVATIONS.iter().enumerate() {
        assert!(OBSERVATIONS[..number].iter().all(|(other, ..)| other != subject), "{subject:?} twice");
        assert!(PREDICTIONS.iter().any(|(_, known, _)| known == subject), "nothing predicts {subject:?}");
    }
    for category in Category::CAUSES {
        assert!(predictions::of(category).next().is_some(), "{category:?}");
    }
}

/// Returns a likelihood ratio as the README has it.
fn ratio(value: f64) -> String {
    match value {
        large if large >= 10.0 => format!("{large:.0}"),
        medium if medium >= 1.0 => format!("{medium:.1}"),
        small => format!("{small:.2}"),
    }
}

#[test]
fn the_published_ratios_are_those_that_are_used() {
    let readme = include_str!("../../README.md");
    let table = readme.lines().skip_while(|line| !line.starts_with("| cause | observation |")).skip(2);
    let published: Vec<Vec<&str>> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(published.len(), PREDICTIONS.len());
    for (row, (category, subject, hit)) in published.iter().zip(PREDICTIONS) {
        let (_, base) = predictions::observation(subject).unwrap();
        let used = [category.to_string(), ratio(hit / base), ratio((1.0 - hit) / (1.0 - base))];
        assert_eq!([row[1], row[3], row[4]], used.each_ref().map(String::as_str), "{subject:?}");
    }
}

#[test]
fn what_was_seen_favours_what_predicts_it_and_what_was_not_disfavours_it() {
    let suspects = [suspect("payment", Category::Down, 0.5), suspect("payment", Category::Memory, 0.3)];
    let before = Beliefs::of(&suspects);
    let memory = ("payment".to_owned(), role(Role::MemoryUsage));
    let seen = before.with(&memory, true).ranked(&suspects);
    assert_eq!(seen[0].category, Category::Memory);
    // 0.3 * .85 / (.5 * .1 + .3 * .85 + .2 * .1)
    assert!((seen[0].posterior - 0.255 / 0.325).abs() < 1e-9, "{seen:?}");
    let not = before.with(&memory, false).ranked(&suspects);
    assert_eq!(not[0].category, Category::Down);
    assert!(not[0].posterior > 0.5 && not[1].posterior < 0.3, "{not:?}");
    // the same of another service says nothing about this one
    let other = before.with(&("order".to_owned(), role(Role::MemoryUsage)), true);
    assert_eq!(other.conclusion(), before.conclusion());
}

#[test]
fn an_announced_suspect_stays_first_unless_another_leads_clearly() {
    let suspects = [suspect("payment", Category::Down, 0.4), suspect("payment", Category::Code, 0.5)];
    assert_eq!(Beliefs::of(&suspects).ranked(&suspects)[0].category, Category::Down);
    let exceptions = ("payment".to_owned(), Subject::Lines { about: LogTopic::Exception });
    let once = Beliefs::of(&suspects).with(&exceptions, true);
    assert_eq!(once.ranked(&suspects)[0].category, Category::Down);
    let instances = ("payment".to_owned(), role(Role::Instances));
    let twice = once.with(&instances, false);
    assert_eq!(twice.ranked(&suspects)[0].category, Category::Code);
}

#[test]
fn the_most_telling_question_is_asked_first_and_none_once_nothing_can_change() {
    let suspects = [suspect("payment", Category::Cpu, 0.6), suspect("payment", Category::Memory, 0.3)];
    let beliefs = Beliefs::of(&suspects);
    let all = [open("payment", Category::Cpu), open("payment", Category::Memory)].concat();
    let first = beliefs.next(&all).unwrap();
    let best = all.iter().map(|one| beliefs.gain(one)).fold(0.0, f64::max);
    assert_eq!(beliefs.gain(&all[first]), best);
    // the order of the list does not matter where gains differ
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(reversed[beliefs.next(&reversed).unwrap()], all[first]);
    assert_eq!(beliefs.next(&[]), None);
    // certain, whatever a single weak question gives
    let certain = [suspect("payment", Category::Code, 0.995)];
    assert_eq!(Beliefs::of(&certain).next(&open("payment", Category::Code)), None);
    // hopeless as well
    let nobody = [suspect("payment", Category::Code, 0.01)];
    assert_eq!(Beliefs::of(&nobody).conclusion().1, Verdict::Unknown);
    assert_eq!(Beliefs::of(&nobody).next(&open("payment", Category::Code)), None);
}

#[test]
fn what_members_answer_is_not_asked() {
    let known = sources();
    let answered = |service, subject| predictions::is_answered(&known.signals, service, subject);
    assert!(answered("payment", role(Role::PoolWaiting)));
    assert!(answered("payment", Subject::Lines { about: LogTopic::Pool }));
    assert!(!answered("order", role(Role::PoolWaiting)));
    assert!(!answered("payment", role(Role::Restarts)));
    assert!(!answered("payment", Subject::Lines { about: LogTopic::Memory }));
}

proptest! {
    /// Answers commute, and probabilities stay probabilities.
    #[test]
    fn the_order_of_answers_does_not_matter(
        shares in prop::collection::vec(0.0_f64..1.0, 1..5),
        answers in prop::collection::vec((0..OBSERVATIONS.len(), any::<bool>()), 0..8),
    ) {
        let suspects: Vec<_> = shares
            .iter()
            .zip(Category::CAUSES)
            .map(|(share, category)| suspect("payment", category, share / shares.len() as f64))
            .collect();
        let told = |answers: &mut dyn Iterator<Item = &(usize, bool)>| {
            let one = |known: Beliefs, (place, seen): &(usize, bool)| known.with(&("payment".into(), OBSERVATIONS[*place].0), *seen);
            answers.fold(Beliefs::of(&suspects), one).ranked(&suspects)
        };
        let (forward, backward) = (told(&mut answers.iter()), told(&mut answers.iter().rev()));
        let sum: f64 = forward.iter().map(|one| one.posterior).sum();
        prop_assert!(sum <= 1.0 + 1e-9 && forward.iter().all(|one| one.posterior >= 0.0));
        for one in &forward {
            let same = backward.iter().find(|other| other.category == one.category).unwrap();
            prop_assert!((one.posterior - same.posterior).abs() < 1e-9);
        }
    }
}
