//! Jira's REST API, version 2.

use serde_json::{Value, json};

use super::{Reply, Request, Service, length};

/// Of `me:secret-token`, in Base64.
pub(crate) const LOGIN: &str = "Basic bWU6c2VjcmV0LXRva2Vu";
pub(crate) const TOKEN: &str = "secret-token";

/// An issue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Issue {
    pub(crate) fields: Value,
    pub(crate) comments: Vec<String>,
    pub(crate) is_done: bool,
}

/// The project `OPS`.
#[derive(Default)]
pub(crate) struct Jira {
    pub(crate) issues: Vec<Issue>,
}

impl Service for Jira {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != LOGIN {
            return Reply::text(401, "Client must be authenticated to access this resource.");
        }
        let path: Vec<&str> = request.path.split('/').skip(4).collect();
        let body = request.json();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["search", "jql"]) => self.search(&request.query["jql"]),
            ("POST", ["issue"]) => self.create(&body),
            (method, ["issue", key, part]) => {
                let place: Option<usize> = key.strip_prefix("OPS-").and_then(|number| number.parse().ok());
                let Some(issue) = place.and_then(|place| self.issues.get_mut(place - 1)) else {
                    return error(404, "Issue does not exist or you do not have permission to see it.");
                };
                of_issue(issue, method, part, &body)
            }
            _ => error(404, "no such resource"),
        }
    }
}

fn error(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "errorMessages": [text], "errors": {} }))
}

fn of_issue(issue: &mut Issue, method: &str, part: &str, body: &Value) -> Reply {
    match (method, part) {
        ("GET", "comment") => {
            let comments = issue.comments.iter().enumerate().rev();
            let comments: Vec<Value> =
                comments.map(|(id, body)| json!({ "id": id.to_string(), "body": body })).collect();
            Reply::json(200, &json!({ "comments": comments }))
        }
        ("POST", "comment") if (1..=32_767).contains(&length(&body["body"])) => {
            issue.comments.push(body["body"].as_str().unwrap().to_owned());
            Reply::json(201, &json!({ "id": (issue.comments.len() - 1).to_string() }))
        }
        ("POST", "comment") => error(400, "Comment body is empty or too long."),
        ("GET", "transitions") => {
            let done = json!({ "id": "31", "name": "Done" });
            let offered =
                if issue.is_done { json!([]) } else { json!([{ "id": "21", "name": "Start" }, done]) };
            Reply::json(200, &json!({ "transitions": offered }))
        }
        ("POST", "transitions") if body["transition"]["id"] == "31" => {
            issue.is_done = true;
            Reply::text(204, "")
        }
        _ => error(400, "no such transition"),
    }
}

impl Jira {
    fn search(&self, jql: &str) -> Reply {
        let wanted = jql.rsplit("labels = ").next().unwrap_or_default().trim_matches('"');
        let found = self.issues.iter().zip(1..).filter(|(issue, _)| {
            issue.fields["labels"].as_array().is_some_and(|labels| labels.iter().any(|label| label == wanted))
        });
        let issues: Vec<Value> = found.map(|(_, number)| json!({ "key": format!("OPS-{number}") })).collect();
        Reply::json(200, &json!({ "issues": issues }))
    }

    fn create(&mut self, body: &Value) -> Reply {
        let fields = &body["fields"];
        let is_fine = fields["project"]["key"] == "OPS"
            && fields["issuetype"]["name"] == "Incident"
            && (1..=255).contains(&length(&fields["summary"]))
            && length(&fields["description"]) <= 32_767
            && fields["labels"]
                .as_array()
                .is_some_and(|labels| labels.iter().all(|label| !label.to_string().contains(' ')));
        if !is_fine {
            return Reply::json(
                400,
                &json!({ "errorMessages": [], "errors": { "fields": "are not valid" } }),
            );
        }
        self.issues.push(Issue { fields: fields.clone(), ..Issue::default() });
        let number = self.issues.len();
        Reply::json(201, &json!({ "id": number.to_string(), "key": format!("OPS-{number}") }))
    }
}
