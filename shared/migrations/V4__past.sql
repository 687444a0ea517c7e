-- an anomaly that comes late is looked for among the incidents that were open when it was observed
create index incidents_past on incidents (environment, resolved_at) where state in ('resolved', 'closed');
