-- Who is on call: rotations as the seeder has read them.

create table oncall_rotations (
    name text  primary key,
    body jsonb not null
);
