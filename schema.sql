-- DuraGraph's database, top to bottom. Idempotent; applied under an advisory lock.
--
-- The life of a run
--
--     create ──► pending ─────────── claim ──► running ── report ──► success | error | timeout
--       │        (active)  ◄──────────────────    │ │                (terminal, never changes)
--       │           ▲  ▲    release, expired      │ │
--       ▼           │  │    lease                 │ └── cancel ────► interrupted
--     pending ── promote │                        ▼                  (or erased: rollback)
--     (in line, or       └──────── wake ────── running
--     scheduled until                          (waiting)
--     not_before)
--
--   `active` says that the run holds its thread's one place: claimable while `pending`,
--   leased while `running`. `epoch` grows at every claim and at the end; whoever reports
--   under an older one is fenced. A run that waits is `running` without a worker, and rows of
--   `wait` say for what.
--
-- Lock order, everywhere: thread rows in id order, then run rows in id order.

set client_min_messages = warning;

do $$ begin
    create role duragraph_api nologin;
exception when duplicate_object or unique_violation then null;
end $$;
do $$ begin
    create role duragraph_engine nologin;
exception when duplicate_object or unique_violation then null;
end $$;
do $$ begin
    create role duragraph_user nologin;
exception when duplicate_object or unique_violation then null;
end $$;
grant duragraph_api to duragraph_user;
grant duragraph_api, duragraph_engine, duragraph_user to current_user;

-- Written by: migrate. Every tenant's row names one.
create table if not exists organization (
    organization_id uuid primary key,
    name            text not null,
    created_at      timestamptz not null default now()
);
insert into organization (organization_id, name)
values ('00000000-0000-0000-0000-000000000000', 'default')
on conflict do nothing;
-- Written by: workers with auth handlers, as they register. From then on clients are users.
alter table organization add column if not exists auth json;

-- Written by: workers as they register. What the plane knows of user code.
create table if not exists graph (
    organization_id uuid not null references organization on delete cascade,
    graph_id        text not null,
    version         text not null,
    queue           text not null,
    description     text,
    input_schema    json not null,
    output_schema   json not null,
    state_schema    json not null,
    config_schema   json not null,
    context_schema  json not null,
    drawing         json not null,
    drawing_xray    json,
    subgraphs       json not null,
    registered_at   timestamptz not null default clock_timestamp(),
    primary key (organization_id, graph_id, version)
);
alter table graph add column if not exists headers json;

-- Written by: workers as they register, poll and drain.
create table if not exists worker (
    worker_id       uuid primary key,
    organization_id uuid not null references organization on delete cascade,
    name            text not null,
    queue           text not null,
    labels          jsonb not null,
    slots           integer not null,
    graphs          text[] not null,
    versions        text[] not null,
    draining        boolean not null default false,
    registered_at   timestamptz not null default now(),
    last_seen_at    timestamptz not null default now()
);
alter table worker add column if not exists auth boolean not null default false;

-- Written by: clients; a system assistant for each graph by its worker. `revision` grows at
-- every change: a run is created only against the revision that its config was merged with.
create table if not exists assistant (
    organization_id uuid not null references organization on delete cascade,
    assistant_id    uuid not null,
    graph_id        text not null,
    name            text not null,
    description     text,
    config          jsonb not null,
    context         jsonb not null,
    metadata        jsonb not null,
    version         integer not null default 1,
    revision        integer not null default 1,
    created_at      timestamptz not null default statement_timestamp(),
    updated_at      timestamptz not null default statement_timestamp(),
    primary key (organization_id, assistant_id)
);

create table if not exists assistant_version (
    organization_id uuid not null,
    assistant_id    uuid not null,
    version         integer not null,
    graph_id        text not null,
    name            text not null,
    description     text,
    config          jsonb not null,
    context         jsonb not null,
    metadata        jsonb not null,
    created_at      timestamptz not null default clock_timestamp(),
    primary key (organization_id, assistant_id, version),
    foreign key (organization_id, assistant_id) references assistant on delete cascade
);

-- Written by: clients (metadata, time to live), create, report and cancel (the rest).
-- `checkpoint_id` is the head: a pointer, not a maximum, since forks may start anywhere.
create table if not exists thread (
    organization_id  uuid not null references organization on delete cascade,
    thread_id        uuid not null,
    status           text not null default 'idle'
                     check (status in ('idle', 'busy', 'interrupted', 'error')),
    metadata         jsonb not null default '{}',
    config           jsonb not null default '{}',
    error            json,
    interrupts       json not null default '{}',
    checkpoint_id    uuid,
    active_run_id    uuid,
    open_runs        integer not null default 0 check (open_runs >= 0),
    last_ms          bigint not null default 0,
    temporary        boolean not null default false,
    erase_at         timestamptz,
    created_at       timestamptz not null default statement_timestamp(),
    updated_at       timestamptz not null default statement_timestamp(),
    state_updated_at timestamptz not null default statement_timestamp(),
    primary key (organization_id, thread_id)
) with (fillfactor = 80);
-- Planes set the defaults for their sessions, since more than one statement makes threads.
alter table thread
    add column if not exists ttl_minutes float8
        default nullif(current_setting('app.thread_ttl_minutes', true), '')::float8,
    add column if not exists ttl_strategy text not null
        default coalesce(nullif(current_setting('app.thread_ttl_strategy', true), ''), 'delete')
        check (ttl_strategy in ('delete', 'keep_latest')),
    add column if not exists expires_at timestamptz default statement_timestamp()
        + make_interval(secs => 60 * nullif(current_setting('app.thread_ttl_minutes', true), '')::float8);
-- Partial, so that no plan made while the table is small uses it to look up a thread by its id.
create index if not exists thread_by_time on thread (organization_id, updated_at desc) where not temporary;
create index if not exists thread_without_active_run on thread (organization_id, thread_id)
    where open_runs > 0 and active_run_id is null;
create index if not exists thread_to_erase on thread (erase_at) where erase_at is not null;
create index if not exists thread_expiring on thread (expires_at) where expires_at is not null;

-- Written by: create, claim, report, cancel, reap. One table; the lease is five of its columns.
create table if not exists run (
    run_id             uuid primary key,
    organization_id    uuid not null,
    thread_id          uuid not null,
    assistant_id       uuid not null,
    graph_id           text not null,
    graph_version      text,
    queue              text not null,
    kind               text not null default 'run' check (kind in ('run', 'update_state')),
    status             text not null
                       check (status in ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
    active             boolean not null,
    priority           integer not null default 0,
    multitask_strategy text not null,
    metadata           jsonb not null,
    kwargs             json not null,
    not_before         timestamptz,
    -- the lease
    worker_id          uuid,
    epoch              integer not null default 0,
    lease_until        timestamptz,
    attempt            integer not null default 0,
    leased_at          timestamptz,
    -- the log: `ms` stands before every event's number, so that a thread's ids ascend
    ms                 bigint not null default 0,
    last_seq           integer not null default 0,
    last_batch         integer not null default 0,
    finished_epoch     integer,
    finished_batch     integer,
    -- where it starts, where its thread stood when it became active, and how it ended
    checkpoint_id      uuid,
    base_id            uuid,
    error              json,
    trace              text,
    on_disconnect      text not null default 'continue',
    on_completion      text not null default 'keep',
    erase_at           timestamptz,
    created_at         timestamptz not null default clock_timestamp(),
    updated_at         timestamptz not null default clock_timestamp(),
    foreign key (organization_id, thread_id) references thread on delete cascade
) with (fillfactor = 70);
-- `asked`: it ended with success at an interrupt. `plane_id`: where its client's connection is, if
-- the run is to end with that. `usage`: what its models took, null if it asked none. `tied`: it has
-- had rows in `wait` or `signal`, or is a child run.
alter table run
    add column if not exists webhook text,
    add column if not exists asked boolean not null default false,
    add column if not exists plane_id uuid,
    add column if not exists usage jsonb,
    add column if not exists tied boolean not null default false;

-- Two objects of numbers as one, key by key, however deep.
create or replace function added(a jsonb, b jsonb) returns jsonb
language plpgsql immutable parallel safe as $$
begin
    if a is null or b is null then
        return coalesce(a, b);
    elsif jsonb_typeof(a) = 'object' then
        return (select jsonb_object_agg(key, added(x.value, y.value))
            from jsonb_each(a) x full join jsonb_each(b) y using (key));
    end if;
    return to_jsonb(a::numeric + b::numeric);
end $$;

create unique index if not exists run_active on run (organization_id, thread_id) where active;
create index if not exists run_claimable on run (organization_id, graph_id, priority desc, run_id)
    where status = 'pending' and active;
create index if not exists run_in_line on run (organization_id, thread_id, run_id)
    where status = 'pending' and not active;
create index if not exists run_scheduled on run (not_before)
    where status = 'pending' and not active and not_before is not null;
-- Without those that wait: of these there may be many, for long.
drop index if exists run_leased;
create index if not exists run_held on run (run_id)
    where status = 'running' and worker_id is not null;
create index if not exists run_of_thread on run (organization_id, thread_id, created_at desc);
create index if not exists run_attended on run (plane_id)
    where plane_id is not null and status in ('pending', 'running');
create index if not exists run_to_erase on run (erase_at) where erase_at is not null;

-- Written by: clients. `path` is the namespace with a dot before, between and after its labels,
-- which have none: items under a prefix are one range of the key. Full text searches `words`, which
-- has no index: row-level security would not use it, since its operators are not leakproof.
-- `vectors`: one a text, each of length 1, as whoever put the item has made them.
create table if not exists store_item (
    organization_id uuid not null references organization on delete cascade,
    path            text collate "C" not null,
    key             text collate "C" not null,
    value           jsonb not null,
    words           tsvector,
    ttl_minutes     float8,
    expires_at      timestamptz,
    created_at      timestamptz not null default statement_timestamp(),
    updated_at      timestamptz not null default statement_timestamp(),
    primary key (organization_id, path, key)
);
alter table store_item add column if not exists vectors real[];
create index if not exists store_item_expired on store_item (expires_at) where expires_at is not null;

-- Written by: the trigger `owe_webhook`, in the transaction in which a run ends; then webhooks.
-- A run ends once, so its id is the delivery's. A claim is a lease until `due_at`. A delivery that
-- was given up stays for some days.
create table if not exists webhook_delivery (
    run_id          uuid primary key,
    organization_id uuid not null references organization on delete cascade,
    url             text not null,
    body            json not null,
    attempt         integer not null default 0,
    due_at          timestamptz not null default clock_timestamp(),
    gave_up_at      timestamptz,
    last_error      text,
    created_at      timestamptz not null default clock_timestamp()
);
-- What waits is counted in bytes before it is loaded, so they must be all of them.
alter table webhook_delivery alter column body set storage external;
create index if not exists webhook_delivery_due on webhook_delivery (due_at) where gave_up_at is null;
create index if not exists webhook_delivery_given_up on webhook_delivery (gave_up_at)
    where gave_up_at is not null;

-- Written by: clients; the scheduler moves `next_run_date`, in the transaction that makes the run.
-- It is null when no tick is left before `end_time`. `payload` is the body that made the cron.
create table if not exists cron (
    cron_id          uuid primary key,
    organization_id  uuid not null,
    assistant_id     uuid not null,
    thread_id        uuid,
    schedule         text not null,
    timezone         text,
    end_time         timestamptz,
    next_run_date    timestamptz,
    enabled          boolean not null,
    on_run_completed text check (on_run_completed in ('delete', 'keep')),
    metadata         jsonb not null,
    payload          json not null,
    created_at       timestamptz not null default clock_timestamp(),
    updated_at       timestamptz not null default clock_timestamp(),
    foreign key (organization_id, assistant_id) references assistant on delete cascade
);
-- The user who made it, in whose name it runs; empty where there were none.
alter table cron add column if not exists user_id text not null default '';
-- Many are due at midnight: each claim takes the first of them from here, without a look at all.
drop index if exists cron_due;
create index if not exists cron_due_free on cron (next_run_date, cron_id)
    where enabled and thread_id is null;
create index if not exists cron_due_bound on cron (next_run_date, cron_id)
    where enabled and thread_id is not null;
create index if not exists cron_of_assistant on cron (organization_id, assistant_id);
create index if not exists cron_of_thread on cron (organization_id, thread_id) where thread_id is not null;

-- Written by: creates that carry an `Idempotency-Key`, each in the transaction that makes what
-- `answer` tells of; the reaper erases old ones. `request` is the SHA-256 of what was asked.
create table if not exists idempotency_key (
    organization_id uuid not null references organization on delete cascade,
    key             text not null,
    request         bytea not null,
    answer          json,
    created_at      timestamptz not null default now(),
    primary key (organization_id, key)
);
create index if not exists idempotency_key_by_time on idempotency_key (created_at);

-- Written by: planes, every few seconds. One that is past `until` is dead.
create table if not exists plane (
    plane_id uuid primary key,
    until    timestamptz not null
);

-- From here on no foreign keys: these rows come in only past the fence, whose run row has one,
-- and a check a row would cost more than the row. `erase_state` below sees to deletions.

-- Written by: report. One row a batch; `frames` holds a line a frame, `name \t json` or
-- `name \t @checkpoint_id` where the data is that checkpoint's values. `seq` is the last one's.
create table if not exists event (
    run_id          uuid not null,
    seq             integer not null,
    organization_id uuid not null,
    n               integer not null,
    frames          bytea not null,
    primary key (run_id, seq)
) partition by range (run_id);
create table if not exists event_default partition of event default;

-- Written by: report, update_state. The state after a superstep: `versions` names, for each
-- channel, the part that heads its value.
create table if not exists checkpoint (
    organization_id uuid not null,
    thread_id       uuid not null,
    checkpoint_id   uuid not null,
    parent_id       uuid,
    root_id         uuid,
    run_id          uuid,
    ns              text not null,
    source          text not null,
    step            integer not null,
    next            text[] not null,
    tasks           json not null,
    metadata        json not null,
    versions        jsonb not null,
    opaque          bytea not null,
    created_at      text not null,
    primary key (organization_id, thread_id, checkpoint_id)
);
create index if not exists checkpoint_under on checkpoint (organization_id, thread_id, root_id)
    where root_id is not null;

-- Written by: report. One part of a channel, named by the checkpoint that wrote it. With a
-- `base_id` the value is an array to append to that part's; `depth` counts the appends.
create table if not exists channel_value (
    organization_id uuid not null,
    thread_id       uuid not null,
    channel         text not null,
    version         uuid not null,
    base_id         uuid,
    depth           integer not null,
    value           json not null,
    codec           bytea,
    primary key (organization_id, thread_id, version, channel)
);
alter table channel_value alter column value set storage external;

-- Written by: report. What a task of the superstep after `checkpoint_id` left behind. `before` is
-- the row that an earlier run had left there, for a rollback to bring back.
create table if not exists step_write (
    organization_id uuid not null,
    thread_id       uuid not null,
    checkpoint_id   uuid not null,
    task_id         text not null,
    ns              text not null,
    run_id          uuid not null,
    result          json,
    error           text,
    interrupts      json,
    opaque          bytea not null,
    primary key (organization_id, thread_id, checkpoint_id, task_id)
);
alter table step_write add column if not exists before json;

-- Written by: report. A side effect's result, under the checkpoint its task started at. What is
-- known all through a run stands under the run's own id.
create table if not exists effect (
    organization_id uuid not null,
    thread_id       uuid not null,
    checkpoint_id   uuid not null,
    key             text not null,
    result          json not null,
    primary key (organization_id, thread_id, checkpoint_id, key)
);

-- What an open run waits for, and the child runs that it has started. Written by: report, as it
-- gives the lease back; children, as they are started; then by what ends the wait, which becomes
-- due with its `result`, and by the wake-up, which makes an effect of it and the run claimable. A
-- row goes with that; a child's stays, no longer due, for whoever asks for the child once more.
-- `abandoned`: its run ended before the child, which is to be cancelled.
create table if not exists wait (
    organization_id uuid not null,
    thread_id       uuid not null,
    run_id          uuid not null,
    checkpoint_id   uuid not null,
    key             text not null,
    kind            text not null check (kind in ('sleep', 'signal', 'run')),
    name            text,
    child_id        uuid,
    child_thread_id uuid,
    due_at          timestamptz,
    result          json,
    abandoned       boolean not null default false,
    primary key (run_id, checkpoint_id, key)
);
create index if not exists wait_due on wait (due_at) where due_at is not null;
create index if not exists wait_child on wait (child_id) where child_id is not null;
create index if not exists wait_abandoned on wait (child_id) where abandoned;

-- Written by: clients. Signals that an open run does not wait for yet, the oldest first.
create table if not exists signal (
    signal_id       bigint generated always as identity primary key,
    organization_id uuid not null,
    thread_id       uuid not null,
    run_id          uuid not null,
    name            text not null,
    payload         json not null
);
create index if not exists signal_of_run on signal (run_id, name, signal_id);

create or replace function erase_state() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'thread' then
        delete from checkpoint where organization_id = old.organization_id and thread_id = old.thread_id;
        delete from channel_value where organization_id = old.organization_id and thread_id = old.thread_id;
        delete from step_write where organization_id = old.organization_id and thread_id = old.thread_id;
        delete from effect where organization_id = old.organization_id and thread_id = old.thread_id;
    else
        delete from event where run_id = old.run_id;
    end if;
    return null;
end $$;
create or replace trigger erase_state after delete on thread for each row execute function erase_state();
create or replace trigger erase_state after delete on run for each row execute function erase_state();

-- In place of a foreign key, which would cost every temporary thread a look.
create or replace function erase_crons() returns trigger language plpgsql as $$
begin
    delete from cron where organization_id = old.organization_id and thread_id = old.thread_id;
    return null;
end $$;
create or replace trigger erase_crons after delete on thread for each row
    when (not old.temporary) execute function erase_crons();

-- The values of a checkpoint as clients see them: each channel's parts joined, as JSON.
-- `offset 0` keeps each look-up one of its own: joined, it could read a whole thread's parts.
-- Depths must fall on the way down, and bases be arrays: a wrong report may not break readers.
create or replace function fold(org uuid, thread uuid, heads jsonb) returns json
language sql stable parallel safe as $$
    with recursive part as (
        select h.key as channel, v.base_id, v.value, v.depth
        from jsonb_each_text(heads) h
        cross join lateral (select * from channel_value v where v.organization_id = org
            and v.thread_id = thread and v.version = h.value::uuid and v.channel = h.key offset 0) v
        union all
        select p.channel, v.base_id, v.value, v.depth
        from part p
        cross join lateral (select * from channel_value v where v.organization_id = org
            and v.thread_id = thread and v.version = p.base_id and v.channel = p.channel
            and v.depth < p.depth and substr(v.value::text, 1, 1) = '[' offset 0) v
    ), whole as (
        select channel,
            case when count(*) = 1 then min(value::text)
            else '[' || string_agg(nullif(substr(value::text, 2, greatest(length(value::text) - 2, 0)), ''), ',' order by depth) || ']'
            end as value
        from part group by channel
    )
    select coalesce('{' || string_agg(to_json(channel) || ':' || value, ',') || '}', '{}')::json from whole
$$;

-- The parts that `fold` would join: who can join bytes does so at a fraction of the cost.
create or replace function parts_of(org uuid, thread uuid, heads jsonb)
returns table (channel text, version uuid, depth integer, value json, codec bytea)
language sql stable parallel safe as $$
    with recursive part as (
        select h.key as channel, v.version, v.base_id, v.depth, v.value, v.codec
        from jsonb_each_text(heads) h
        cross join lateral (select * from channel_value v where v.organization_id = org
            and v.thread_id = thread and v.version = h.value::uuid and v.channel = h.key offset 0) v
        union all
        select p.channel, v.version, v.base_id, v.depth, v.value, v.codec
        from part p
        cross join lateral (select * from channel_value v where v.organization_id = org
            and v.thread_id = thread and v.version = p.base_id and v.channel = p.channel
            and v.depth < p.depth offset 0) v
    )
    select channel, version, depth, value, codec from part
$$;

-- A state that is no object stands in one channel, whose value clients see in its place.
create or replace function unwrap(heads jsonb, state json) returns json
language sql immutable parallel safe as $$
    select case when heads ? '__root__' then state -> '__root__' else state end
$$;

-- What clients see of a checkpoint: its values, and over them what was changed there since: by a
-- command, recorded by the worker under the task that is the run itself; and, `live`, by tasks
-- that are finished while others of their superstep are not, under the next task. Of the channels
-- `names` alone, if it is not null.
create or replace function shown(c checkpoint, names text[], live boolean) returns json
language sql stable parallel safe as $$
    select unwrap(c.versions,
        case when o.changed is null then fold(c.organization_id, c.thread_id, h.heads)
        else (fold(c.organization_id, c.thread_id, h.heads)::jsonb || o.changed)::json end)
    from (
        select case when names is null then c.versions else (
            select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(c.versions)
            where key = any(names)) end as heads
    ) h
    cross join (
        select jsonb_object_agg(e.key, e.value order by w.task_id) as changed
        from step_write w cross join lateral json_each(w.result) e
        where w.organization_id = c.organization_id and w.thread_id = c.thread_id
            and w.checkpoint_id = c.checkpoint_id
            and w.task_id in ('00000000-0000-0000-0000-000000000000',
                case when live then '00000000-0000-0000-0000-000000000001' end)
            and (names is null or e.key = any(names))
    ) o
$$;
create or replace function shown(c checkpoint) returns json
language sql stable parallel safe as $$ select shown(c, null, false) $$;

-- As times stand on the wire.
create or replace function on_wire(moment timestamptz) returns text
language sql stable parallel safe as $$
    select to_char(moment at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
$$;

-- What can't be shown, a huge state or a number beyond all bounds, may keep no run from its end.
create or replace function shown_if_possible(c checkpoint) returns json
language plpgsql stable as $$
begin
    return shown(c);
exception when others then
    return null;
end $$;

-- However a run ends, and only if somebody is to be told: the body is the run as clients see it,
-- and its thread's values at that moment, which later runs and erasures may change.
create or replace function owe_webhook() returns trigger language plpgsql as $$
begin
    insert into webhook_delivery (run_id, organization_id, url, body)
    select new.run_id, new.organization_id, new.webhook, json_build_object(
        'run_id', new.run_id, 'thread_id', new.thread_id, 'assistant_id', new.assistant_id,
        'metadata', new.metadata, 'status', new.status, 'kwargs', new.kwargs,
        'multitask_strategy', new.multitask_strategy, 'created_at', on_wire(new.created_at),
        'updated_at', on_wire(new.updated_at), 'run_started_at', on_wire(new.leased_at),
        'run_ended_at', on_wire(new.updated_at), 'error', new.error,
        'values', case when c.checkpoint_id is not null then shown_if_possible(c) end)
    from thread t left join checkpoint c using (organization_id, thread_id, checkpoint_id)
    where t.organization_id = new.organization_id and t.thread_id = new.thread_id;
    return null;
end $$;
create or replace trigger owe_webhook after update of status on run for each row
    when (new.webhook is not null and old.status in ('pending', 'running')
        and new.status not in ('pending', 'running'))
    execute function owe_webhook();

-- What `wait` would answer of a run that ended without an error: the last values that it showed.
create or replace function output_of(r run) returns json
language sql stable as $$
    select case when shown.line like '@%' then (
            select unwrap(c.versions, fold(c.organization_id, c.thread_id, c.versions))
            from checkpoint c where c.organization_id = r.organization_id
                and c.thread_id = r.thread_id and c.checkpoint_id = substr(shown.line, 2)::uuid)
        else shown.line::json end
    from (
        select substr(f.line, 8) as line
        from event e
        cross join lateral string_to_table(convert_from(e.frames, 'UTF8'), e'\n')
            with ordinality f(line, n)
        where e.run_id = r.run_id and f.line like e'values\t%'
        order by e.seq desc, f.n desc limit 1
    ) shown
$$;

-- What a parent is told of a child run that ended. What can't be shown may keep no run from its end.
-- Its errors are `waiting.CHILD_INTERRUPTED` and `endings.USER_INTERRUPT`.
create or replace function told_of(r run) returns json language plpgsql stable as $$
declare
    left_off boolean = exists (select from thread t
        join checkpoint c using (organization_id, thread_id, checkpoint_id)
        where t.organization_id = r.organization_id and t.thread_id = r.thread_id and c.next <> '{}');
    output json;
begin
    begin
        output = output_of(r);
    exception when others then
        output = null;
    end;
    return case
        when r.status = 'success' and left_off then json_build_object('status', 'interrupted',
            'output', output, 'error',
            json '{"error":"ChildInterrupted","message":"The run stopped at an interrupt."}')
        when r.status = 'interrupted' then json_build_object('status', r.status,
            'output', output, 'error',
            json '{"error":"UserInterrupt","message":"User interrupted the run"}')
        else json_build_object('status', r.status, 'output', output, 'error', r.error) end;
end $$;

-- However a run ends: its parent's wait is over; what it waited for itself is forgotten, and its
-- own children are left to be cancelled, since their threads may not be locked from here.
create or replace function untie() returns trigger language plpgsql as $$
begin
    update wait set due_at = now(), result = told_of(new)
    where child_id = new.run_id and not abandoned;
    delete from wait where child_id = new.run_id and abandoned;
    perform from wait where run_id = new.run_id order by child_id for update;
    update wait set abandoned = true, due_at = null
    where run_id = new.run_id and child_id is not null and result is null;
    delete from wait where run_id = new.run_id and not abandoned;
    delete from signal where run_id = new.run_id;
    return null;
end $$;
create or replace trigger untie after update of status on run for each row
    when (new.tied and old.status in ('pending', 'running')
        and new.status not in ('pending', 'running'))
    execute function untie();

-- An assistant's name as MCP lets tools be called.
create or replace function tool_name(name text) returns text
language sql immutable parallel safe as $$
    select coalesce(nullif(left(regexp_replace(name, '[^A-Za-z0-9_.-]+', '_', 'g'), 100), ''), '_')
$$;
create index if not exists assistant_tool on assistant (organization_id, tool_name(name));

-- A2A's tasks: runs that were asked for as such, and those that go on with them.
create index if not exists run_task on run (organization_id, assistant_id, run_id desc)
    where metadata ? 'a2a_task';

-- Tenancy. `api` serves clients' requests and sees one organization, set once per connection;
-- `engine` runs the statements that span tenants and take ids and epochs, never a filter.
do $$
declare t text;
begin
    foreach t in array array['organization', 'graph', 'worker', 'assistant', 'assistant_version', 'thread', 'run',
        'store_item', 'webhook_delivery', 'cron', 'idempotency_key', 'event', 'event_default',
        'checkpoint', 'channel_value', 'step_write', 'effect', 'wait', 'signal']
    loop
        execute format('alter table %I enable row level security', t);
        if not exists (select from pg_policies where tablename = t and policyname = 'tenant') then
            execute format('create policy tenant on %I to duragraph_api using '
                '(organization_id = (select current_setting(''app.organization_id''))::uuid)', t);
            execute format('create policy engine on %I to duragraph_engine using (true)', t);
        end if;
        execute format('grant select, insert, update, delete on %I to duragraph_api, duragraph_engine', t);
    end loop;
end $$;
revoke insert, update, delete on organization from duragraph_api, duragraph_engine;
grant update (auth) on organization to duragraph_api, duragraph_engine;

-- Whether an auth handler's filter lets through what has this metadata. `identities.py` has checked it.
create or replace function permits(filter jsonb, metadata jsonb) returns boolean
language plpgsql immutable parallel safe as $$
declare name text; wanted jsonb; operator text; operand jsonb;
begin
    for name, wanted in select key, value from jsonb_each(filter) loop
        if name = '$or' then
            if not exists (select from jsonb_array_elements(wanted) g where permits(g, metadata)) then
                return false;
            end if;
        elsif name = '$and' then
            if exists (select from jsonb_array_elements(wanted) g where not permits(g, metadata)) then
                return false;
            end if;
        else
            for operator, operand in select key, value from jsonb_each(wanted) loop
                if not coalesce(case operator
                    when '$eq' then metadata -> name = operand
                    when '$contains' then jsonb_typeof(metadata -> name) = 'array' and metadata -> name @>
                        case jsonb_typeof(operand) when 'array' then operand else jsonb_build_array(operand) end
                    end, false)
                then
                    return false;
                end if;
            end loop;
        end if;
    end loop;
    return true;
end $$;

-- Whether a thread is there that the user may not see. What belongs to none is not hidden: it is
-- about to be erased, by triggers that work within the user's limits.
create or replace function hides(org uuid, id uuid) returns boolean
language sql stable parallel safe security definer set search_path from current as $$
    select exists (select from thread t where t.organization_id = org and t.thread_id = id
        and not permits(current_setting('app.threads')::jsonb, t.metadata))
$$;
create or replace function hides_run(id uuid) returns boolean
language sql stable parallel safe security definer set search_path from current as $$
    select exists (select from run r where r.run_id = id and hides(r.organization_id, r.thread_id))
$$;
create or replace function hides_assistant(org uuid, id uuid) returns boolean
language sql stable parallel safe security definer set search_path from current as $$
    select exists (select from assistant a where a.organization_id = org and a.assistant_id = id
        and not permits(current_setting('app.assistants')::jsonb, a.metadata))
$$;

-- Users. `duragraph_user` is `api` for one of them: the filters of its auth handlers, set before
-- each request, hide what is not its own. Without a setting every statement fails. What may be
-- written is not checked here: as on the reference, a thread may be given away.
do $$
declare x record;
begin
    for x in values
        ('thread', $p$ permits((select current_setting('app.threads'))::jsonb, metadata) $p$),
        ('assistant', $p$ permits((select current_setting('app.assistants'))::jsonb, metadata) $p$),
        ('assistant_version', $p$ not hides_assistant(organization_id, assistant_id) $p$),
        ('cron', $p$ permits((select current_setting('app.crons'))::jsonb, metadata)
            and not hides(organization_id, thread_id) $p$),
        ('run', $p$ not hides(organization_id, thread_id) $p$),
        ('checkpoint', $p$ not hides(organization_id, thread_id) $p$),
        ('channel_value', $p$ not hides(organization_id, thread_id) $p$),
        ('step_write', $p$ not hides(organization_id, thread_id) $p$),
        ('effect', $p$ not hides(organization_id, thread_id) $p$),
        ('wait', $p$ not hides(organization_id, thread_id) $p$),
        ('signal', $p$ not hides(organization_id, thread_id) $p$),
        ('event', $p$ not hides_run(run_id) $p$)
    loop
        if not exists (select from pg_policies where tablename = x.column1 and policyname = 'permitted') then
            execute format('create policy permitted on %I as restrictive to duragraph_user '
                'using (%s) with check (true)', x.column1, x.column2);
        end if;
    end loop;
end $$;
grant select, insert, update, delete on plane to duragraph_api, duragraph_engine;
