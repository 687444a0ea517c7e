-- What a signal carries to be shown: samples, siblings, logs. Kept beside what decisions rest on, because each decision
-- reads all members of an incident and only the few strongest are shown.

alter table signals add column context jsonb not null default '{}';

update signals set
    context = jsonb_strip_nulls(jsonb_build_object(
        'samples', body -> 'samples', 'siblings', body -> 'siblings', 'logs', body -> 'logs')),
    body = body - 'samples' - 'siblings' - 'logs';
