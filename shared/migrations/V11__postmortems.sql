-- Revisions of postmortems, and action items with what became of them.

-- the last revision of an incident is what is shown; those before stay readable
create table postmortem_revisions (
    incident_id uuid        not null,
    revision    int         not null,
    artifact    int,                     -- revision of the artifact, where it was written from the record
    markdown    text,                    -- the text, where a person has revised it
    revised_by  text,
    note        text,
    revised_at  timestamptz not null,
    primary key (incident_id, revision),
    check ((artifact is null) <> (markdown is null)),
    check ((markdown is null) = (revised_by is null))
);
insert into postmortem_revisions (incident_id, revision, artifact, revised_at)
select incident_id, row_number() over (partition by incident_id order by revision), revision, created_at
from artifacts where kind = 'postmortem';

create table action_items (
    item_id       uuid        primary key,
    incident_id   uuid        not null,
    revision      int         not null, -- last revision of the artifact that has it
    place         int         not null, -- in the document
    service       text        not null,
    title         text        not null,
    owner         text        not null,
    due           date        not null,
    priority      text        not null check (priority in ('high', 'medium', 'low')),
    reason        text        not null,
    state         text        not null default 'open' check (state in ('open', 'done', 'dropped')),
    superseded_in int,                  -- revision of the artifact that no longer has it
    changed_by    text,
    changed_at    timestamptz,
    note          text,
    created_at    timestamptz not null default now(),
    check ((changed_by is null) = (changed_at is null))
);
create index action_items_incident on action_items (incident_id, place);
create index action_items_open on action_items (due, item_id) where state = 'open' and superseded_in is null;
create index action_items_due on action_items (due, item_id);
