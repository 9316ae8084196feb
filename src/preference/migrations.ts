/**
 * The schema of the annotation store, by steps that are applied once each and never edited: a change is a new step.
 *
 * What annotators did is a log of events that is only added to; an undo is an event too. A closed batch cannot be
 * changed by any statement: triggers refuse it, whoever is connected.
 */

import type { Database, Queries } from "./database.ts";
import { ruleError } from "./database.ts";

/** Brings a database to the newest step; safe to call at each start, by several processes at once. */
export async function migrate(database: Database): Promise<void> {
  await database.transaction(async (queries) => {
    // Held to the end of the transaction; the number is this schema's own.
    await queries.query("select pg_advisory_xact_lock(720770)");
    await queries.query(
      "create table if not exists migrations (step int primary key, applied_at timestamptz not null default now())",
    );
    const applied = await queries.query<{ step: number }>("select step from migrations");
    for (const [step, statements] of steps.entries()) {
      if (applied.some((row) => row.step === step)) continue;
      await apply(queries, step, statements);
    }
  });
}

// --- internal ---

async function apply(queries: Queries, step: number, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await queries.query(statement);
  await queries.query("insert into migrations (step) values ($1)", [step]);
}

const tables = [
  `create table annotators (
     id text primary key,
     name text not null unique,
     role text not null check (role in ('annotator', 'lead')),
     kind text not null check (kind in ('person', 'script')),
     token_hash text unique,
     created_at timestamptz not null default now()
   )`,
  `create table batches (
     id text primary key,
     name text not null unique,
     policy_version text not null,
     quality text not null check (quality in ('helpfulness', 'safety')),
     split text not null check (split in ('train', 'test')),
     overlap_share real not null check (overlap_share between 0 and 0.5),
     opened_at timestamptz not null default now(),
     closed_at timestamptz
   )`,
  `create table variants (
     batch_id text not null references batches (id),
     place int not null check (place >= 0),
     name text not null,
     model text not null,
     temperature real not null check (temperature >= 0),
     primary key (batch_id, place)
   )`,
  `create table tasks (
     id text primary key,
     number bigint generated always as identity,
     batch_id text not null references batches (id),
     annotator_id text not null references annotators (id),
     parent_id text references tasks (id),
     overlap_of text references tasks (id),
     history jsonb not null,
     left_variant int not null,
     right_variant int not null,
     seed int not null,
     question text,
     risk text,
     attack text,
     created_at timestamptz not null default now(),
     asked_at timestamptz,
     check (left_variant <> right_variant),
     check ((question is null) = (asked_at is null)),
     foreign key (batch_id, left_variant) references variants (batch_id, place),
     foreign key (batch_id, right_variant) references variants (batch_id, place)
   )`,
  "create index tasks_of_annotator on tasks (annotator_id, batch_id, number)",
  "create unique index one_overlap_each on tasks (overlap_of, annotator_id) where overlap_of is not null",
  `create table answers (
     task_id text not null references tasks (id),
     side text not null check (side in ('left', 'right')),
     content text not null,
     created_at timestamptz not null default now(),
     primary key (task_id, side)
   )`,
  `create table events (
     id text primary key,
     number bigint generated always as identity,
     task_id text not null references tasks (id),
     annotator_id text not null references annotators (id),
     kind text not null check (kind in ('compare', 'skip', 'flag', 'undo')),
     better text check (better in ('left', 'right')),
     strength text check (strength in ('significantly', 'better', 'slightly', 'negligibly')),
     safety text check (safety in ('chosen-safe', 'both-safe', 'both-unsafe')),
     note text,
     created_at timestamptz not null default now(),
     check ((kind = 'compare') = (better is not null and strength is not null and safety is not null))
   )`,
  "create index events_of_task on events (task_id, number)",
];

/** A row for each task: its latest event that was not undone, which an undo makes none. */
const views = [
  `create view decisions as
     select distinct on (task_id) task_id, kind, better, strength, safety, note, created_at, number
     from events where kind <> 'flag' order by task_id, number desc`,
  `create view flags as
     select distinct on (task_id) task_id, note, created_at
     from events where kind = 'flag' order by task_id, number desc`,
];

/** `for share` makes who adds to a batch and who closes it wait for each other. */
const rules = [
  `create function refuse_closed_batch() returns trigger language plpgsql as $$
   declare batch text; closed timestamptz; title text;
   begin
     if tg_table_name in ('variants', 'tasks') then
       if tg_op = 'DELETE' then batch := old.batch_id; else batch := new.batch_id; end if;
     elsif tg_op = 'DELETE' then
       select batch_id into batch from tasks where id = old.task_id;
     else
       select batch_id into batch from tasks where id = new.task_id;
     end if;
     select closed_at, name into closed, title from batches where id = batch for share;
     if closed is not null then
       raise exception 'batch "%" is closed', title
         using errcode = '${ruleError}', hint = 'Closed batches stay as they are; open a new one.';
     end if;
     if tg_op = 'DELETE' then return old; end if;
     return new;
   end $$`,
  ...["variants", "tasks", "answers", "events"].map(
    (table) =>
      `create trigger ${table}_of_open_batch before insert or update or delete on ${table}
       for each row execute function refuse_closed_batch()`,
  ),
  `create function refuse_change_of_closed() returns trigger language plpgsql as $$
   begin
     if old.closed_at is not null then
       raise exception 'batch "%" is closed', old.name
         using errcode = '${ruleError}', hint = 'Closed batches stay as they are; open a new one.';
     end if;
     if tg_op = 'DELETE' then return old; end if;
     return new;
   end $$`,
  `create trigger closed_batches before update or delete on batches
   for each row execute function refuse_change_of_closed()`,
  `create function refuse_rewriting() returns trigger language plpgsql as $$
   begin
     raise exception '% are only added to', tg_table_name
       using errcode = '${ruleError}', hint = 'Undo by a further event.';
   end $$`,
  ...["answers", "events"].map(
    (table) =>
      `create trigger ${table}_are_a_log before update or delete on ${table}
       for each row execute function refuse_rewriting()`,
  ),
  ...["batches", "variants", "tasks", "answers", "events"].map(
    (table) =>
      `create trigger ${table}_are_not_emptied before truncate on ${table}
       for each statement execute function refuse_rewriting()`,
  ),
];

/** Comparisons that others collected, in batches that are closed when the import ends. */
const imports = [
  "alter table batches add column source text",
  `create table imported_comparisons (
     batch_id text not null references batches (id),
     place int not null check (place >= 0),
     prompt jsonb not null,
     chosen text not null,
     rejected text not null,
     strength text check (strength in ('significantly', 'better', 'slightly', 'negligibly')),
     safety text check (safety in ('chosen-safe', 'both-safe', 'both-unsafe')),
     judge text not null,
     primary key (batch_id, place)
   )`,
  `create function refuse_import_into_closed_batch() returns trigger language plpgsql as $$
   declare closed timestamptz; title text;
   begin
     select closed_at, name into closed, title from batches where id = new.batch_id for share;
     if closed is not null then
       raise exception 'batch "%" is closed', title
         using errcode = '${ruleError}', hint = 'Closed batches stay as they are; open a new one.';
     end if;
     return new;
   end $$`,
  `create trigger imports_of_open_batch before insert on imported_comparisons
   for each row execute function refuse_import_into_closed_batch()`,
  `create trigger imports_are_a_log before update or delete on imported_comparisons
   for each row execute function refuse_rewriting()`,
  `create trigger imports_are_not_emptied before truncate on imported_comparisons
   for each statement execute function refuse_rewriting()`,
];

/** Reward models judge too, and one of helpfulness says nothing of safety. */
const rewardModels = [
  `alter table annotators drop constraint annotators_kind_check,
     add constraint annotators_kind_check check (kind in ('person', 'script', 'reward model'))`,
  `alter table events drop constraint events_check,
     add constraint events_check check (
       (kind = 'compare') = (better is not null and strength is not null) and (kind = 'compare' or safety is null))`,
];

const steps: readonly (readonly string[])[] = [[...tables, ...views, ...rules], imports, rewardModels];
