//! What was read is recorded before anything is claimed, and nothing else can be cited.

use investigation::check::Flaw;
use investigation::ledger::Ledger;
use investigation::records::Records;
use investigation::sources::Sources;
use shared::events::EvidenceRecord;
use shared::events::evidence::{Content, MAX_RECORDS};
use shared::events::rca::Source;

use crate::answers::asked;
use crate::scene::{documents, incident, investigate, sources};

#[test]
fn every_piece_of_evidence_is_quoted_from_a_record_of_its_source() {
    let sources = sources();
    let found = investigate(&sources, &incident(&sources));
    for piece in &found.evidence {
        let record = found.records.all().iter().find(|record| Some(record.id) == piece.record).unwrap();
        assert_eq!(record.source, piece.source);
    }
    let holds = |fits: fn(&Content) -> bool| found.records.all().iter().any(|record| fits(&record.content));
    assert!(holds(|content| matches!(content, Content::Samples { samples, .. } if samples.len() == 10)));
    assert!(holds(|content| matches!(content, Content::Value { .. })));
    assert!(holds(|content| matches!(content, Content::Logs { templates } if templates.len() == 1)));
    assert!(holds(|content| matches!(content, Content::Deployment(change) if change.version == "2.4.1")));
    assert!(holds(|content| matches!(content, Content::Deployments { changes } if changes.is_empty())));
    assert!(holds(|content| matches!(content, Content::Edge(_))));
    assert!(holds(|content| matches!(content, Content::Section { .. })));
}

#[test]
fn a_claim_that_cites_what_is_not_on_record_is_dropped() {
    let sources = sources();
    let found = investigate(&sources, &incident(&sources));
    let empty = Records::default();
    for claim in found.claims() {
        assert_eq!(
            investigation::check::check(claim, &found.evidence, &empty, &sources),
            Err(Flaw::Evidence)
        );
    }
    let mut ledger = Ledger::new(&empty);
    let source = Source::Edge { caller: "a".into(), callee: "b".into() };
    ledger.file(source, "a calls b");
    assert_eq!(ledger.pieces()[0].record, None);
}

/// A record is written once, however often it is read, and survives the way through the database.
#[test]
fn a_record_has_one_id_until_its_source_changes() {
    let mut sources = sources();
    let incident = incident(&sources);
    let records =
        |sources: &Sources| Records::of(&incident, sources, &[documents()], &[]).unwrap().into_all();
    let before = records(&sources);
    assert_eq!(before, records(&sources));
    for record in &before {
        let read: EvidenceRecord = serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap();
        assert_eq!(read, *record);
    }
    sources.signals[0].samples.pop();
    let changed = records(&sources).iter().filter(|record| !before.contains(record)).count();
    assert_eq!(changed, 1);
}

#[test]
fn records_of_a_storm_are_bounded_and_those_of_the_suspect_are_among_them() {
    let mut sources = sources();
    let one = sources.signals[2].clone();
    for number in 0..MAX_RECORDS {
        let mut signal = one.clone();
        signal.service = format!("s{number}");
        signal.evidence = 100.0;
        sources.signals.push(signal);
    }
    let incident = incident(&sources);
    let records = Records::of(&incident, &sources, &[documents()], &[]).unwrap();
    assert_eq!(records.all().len(), MAX_RECORDS);
    let suspect = |record: &&EvidenceRecord| matches!(&record.source, Source::Samples { service, .. } if service == "payment");
    assert_eq!(records.all().iter().filter(suspect).count(), 3);
    // answers are cited, so what matters least makes room for them
    let asked = asked();
    let records = records.with_answers(&incident, &asked.answers).unwrap();
    assert_eq!(records.all().len(), MAX_RECORDS);
    assert_eq!(records.all().iter().filter(suspect).count(), 3);
    assert!(asked.answers.iter().all(|found| records.of_source(&found.cited()).is_some()));
}
