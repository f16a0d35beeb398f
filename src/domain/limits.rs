//! Every bound of the service, with what happens when it is reached.

use super::address::CountedPrefix;
use super::time::DAY_MS;

/// Oldest time of an incident, in days. Older: refused, naming the field.
pub const INCIDENT_AGE_DAYS_MAX: i64 = 400;
/// How long before a quarter begins the key of its pseudonyms is made, in days.
pub const KEY_AHEAD_DAYS: i64 = 31;
/// How far ahead of the server's clock a time may lie, in milliseconds. Further: refused.
pub const CLOCK_AHEAD_MS_MAX: i64 = 5 * 60_000;
/// How far ahead of the time that stamps go by a time may lie while the clock is disputed, in
/// milliseconds, before what is allowed of any clock is added. Further: refused, to be sent again.
pub const CLOCK_DISPUTED_AHEAD_MS_MAX: i64 = DAY_MS;
/// How far ahead of its stamp an entry can tell a tap, in milliseconds.
pub const TAP_AHEAD_MS_MAX: i64 = CLOCK_DISPUTED_AHEAD_MS_MAX + CLOCK_AHEAD_MS_MAX;
/// Smallest jump ahead of the server's clock that is not followed at once, in milliseconds.
pub const CLOCK_JUMP_MS_MIN: i64 = 5 * 60_000;
/// How far past the last entry the server's clock may be at a start, in milliseconds. Further:
/// nothing is taken in until it has stayed so. More than a month passes between two editions.
pub const CLOCK_START_JUMP_MS_MIN: i64 = 35 * DAY_MS;
/// How long the server's clock must stay ahead until a jump is followed, in milliseconds.
pub const CLOCK_JUMP_HOLD_MS: u64 = 10 * 60_000;
/// How far stamps may be ahead of the server's clock, in milliseconds. Further: logged.
pub const STAMP_AHEAD_MS_MAX: i64 = 60_000;
/// Smallest correction of a device's clock, in milliseconds. Smaller differences may come
/// from the way to the server: left as they are.
pub const CLOCK_CORRECTION_MS_MIN: i64 = 2_000;
/// Largest correction of a device's clock, in milliseconds. Larger: refused.
pub const CLOCK_CORRECTION_MS_MAX: i64 = 400 * DAY_MS;

/// Longest operator code. Longer: taken as words.
pub const OPERATOR_CODE_BYTES_MAX: usize = 10;
/// Shortest operator code.
pub const OPERATOR_CODE_BYTES_MIN: usize = 2;
/// Longest line identifier. Longer: refused.
pub const LINE_ID_BYTES_MAX: usize = 64;
/// Longest stop code. Longer: refused.
pub const STOP_ID_BYTES_MAX: usize = 64;

/// Longest operator as written, in characters. Longer texts are refused, here and below.
pub const OPERATOR_CHARS_MAX: usize = 64;
/// Longest line as written.
pub const LINE_CHARS_MAX: usize = 32;
/// Longest direction as written.
pub const DIRECTION_CHARS_MAX: usize = 64;
/// Longest stop as written.
pub const STOP_CHARS_MAX: usize = 100;
/// Longest vehicle number.
pub const VEHICLE_CHARS_MAX: usize = 16;
/// Longest text on a display.
pub const DISPLAY_CHARS_MAX: usize = 80;
/// Longest note.
pub const NOTE_CHARS_MAX: usize = 500;
/// Shortest installation identifier, in bytes.
pub const INSTALLATION_BYTES_MIN: usize = 16;
/// Longest installation identifier, in bytes.
pub const INSTALLATION_BYTES_MAX: usize = 64;
/// Longest card number as typed, spaces and hyphens included, in bytes.
pub const CARD_NUMBER_BYTES_MAX: usize = 40;
/// Shortest run of digits (spaces and hyphens between them ignored) that a text may not
/// hold, because it could be a card number.
pub const CARD_LIKE_DIGITS_MIN: usize = 12;
/// Most attempts that can be told.
pub const ATTEMPTS_MAX: u8 = 20;
/// Most claimed causes of one incident.
pub const CAUSE_CLAIMS_MAX: usize = 4;
/// Most identifiers kept for an ambiguous line or stop; further ones are left out.
pub const CANDIDATES_MAX: usize = 10;

/// Most incidents in one call. More: refused whole.
pub const INCIDENTS_PER_CALL_MAX: usize = 1_000;
/// Most incidents of one stream under way. Reached: the stream is read no further until
/// results are out.
pub const STREAM_IN_FLIGHT_MAX: usize = 4_096;
/// Incidents of all streams together under way. Reached: streams are read no further, so
/// that bulk never fills the committer's queue for single reports.
pub const STREAMS_IN_FLIGHT_MAX: usize = 16_384;
/// Incidents that a stream hands over together.
pub const STREAM_BATCH_MAX: usize = 128;
/// Calls that read the journal at once: incidents asked for, and repeats compared with what
/// was recorded. Reached: refused with `Busy`.
pub const JOURNAL_READS_MAX: usize = 64;
/// How long a stream's results may wait while its client takes none, in milliseconds.
/// Longer: the stream is ended with `DEADLINE_EXCEEDED`.
pub const STREAM_UNTAKEN_MS_MAX: u64 = 30_000;
/// The same once the service stops.
pub const STREAM_UNTAKEN_STOPPING_MS_MAX: u64 = 1_000;
/// Open streams of incidents. Reached: refused with `Busy`.
pub const INCIDENT_STREAMS_MAX: usize = 256;
/// Those with one token. Reached: refused, with the quota named.
pub const INCIDENT_STREAMS_PER_TOKEN_MAX: usize = 64;
/// Entries waiting for the committer. Full: refused with `Busy`.
pub const QUEUE_ENTRIES_MAX: usize = 32_768;
/// Entries in one batch of the committer; the rest wait for the next.
pub const BATCH_ENTRIES_MAX: usize = 4_096;
/// Largest record of the journal, in bytes. Cannot be reached: texts are bounded above.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Size of a segment of the journal, in bytes. Full: the next is begun.
pub const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// Free disk below which reports, what is told later of them, and tap counts are refused, in
/// bytes. What is left is for withdrawals, erasures, and what frees the disk.
pub const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Batches between two looks at the free disk. While there is too little, every one looks.
pub const DISK_CHECK_BATCHES: u32 = 64;
/// Fewest entries between two checkpoints.
pub const CHECKPOINT_ENTRIES_MIN: u64 = 262_144;
/// Part of all entries that may pass between two checkpoints: one in this many. A start after a crash
/// folds them: of 10 million, 312,500.
pub const CHECKPOINT_PART: u64 = 32;
/// Entries of tap counts between two checkpoints: they are some fifty times as long as reports, and
/// the store must take each again after a crash. Reached: a checkpoint is written.
pub const CHECKPOINT_TAP_ENTRIES: u64 = 8_192;
/// Entries after the base that a start looks at, tap counts included, to see whether some have gone
/// that it lacks. Reached: nothing is said of it.
pub const MISSING_BASE_LOOK_ENTRIES_MAX: u64 = 4_096;
/// Entries after which a checkpoint that failed is tried again.
pub const CHECKPOINT_RETRY_ENTRIES: u64 = 65_536;
/// For how long a checkpoint may hold the minute of a tap whose report was erased, in minutes.
/// Reached: another is written; where that fails again after as long, it is removed.
pub const CHECKPOINT_ERASED_MINUTES_MAX: u32 = 10;
/// Batches read ahead while a journal is folded.
pub const REPLAY_BATCHES_AHEAD: usize = 4;

/// Longest receipt that is checked, in bytes. Longer: refused. Those that are made are
/// shorter, because texts are bounded.
pub const RECEIPT_BYTES_MAX: usize = 16 * 1024;
/// Largest file of the keys of receipts, in bytes: some ten thousand keys. Larger: refused.
pub const RECEIPT_KEYS_BYTES_MAX: u64 = 1024 * 1024;
/// Largest form that asks for a receipt, in bytes. Larger: refused.
pub const RECEIPT_FORM_BYTES_MAX: usize = 4 * 1024;
/// Most of the latest reports that are looked at to tell whether others reported the same.
pub const OTHERS_LOOKED_AT_MAX: usize = 256;
/// Of these behind one address prefix. Further ones: passed over for others.
pub const OTHERS_LOOKED_AT_PER_PREFIX_MAX: usize = 32;
/// Most of the latest reports among which those are searched. Older ones: not looked at.
pub const OTHERS_SEARCHED_MAX: usize = 32_768;
/// Reporters behind one address prefix that count when it is told whether others reported the same.
/// Further ones: counted no more.
pub const OTHERS_PER_PREFIX_MAX: usize = 3;
/// Latest reports of people of which it is remembered from which address prefix they came. Reached:
/// the oldest is forgotten; all reports of which it is not known count as of one reporter.
pub const ORIGINS_REMEMBERED_MAX: usize = 262_144;
/// How often a reporter may add to one report. More: refused.
pub const AMENDMENTS_PER_CASE_MAX: usize = 16;
/// Answers of an operator to one report. More: refused.
pub const REPLIES_PER_CASE_MAX: usize = 32;
/// Reports on one page of an operator's list. More asked for: refused.
pub const CASES_PER_PAGE_MAX: usize = 200;
/// Reports on a page when nothing is asked for.
pub const CASES_PER_PAGE_DEFAULT: usize = 50;
/// Rows, of all operators, that are looked at for one page. More: the page ends early, and the next
/// goes on. By how many pages of a list end early, an operator learns how often so many rows were
/// recorded by everybody, and no more.
pub const LISTED_ROWS_LOOKED_AT_MAX: usize = 262_144;
/// Blocks that are read at once for a page.
pub const LISTED_BLOCKS_AT_ONCE: u32 = 16;
/// Longest message of an operator to a reporter, in characters. Longer: refused.
pub const REPLY_CHARS_MAX: usize = 500;
/// How often something about a report is made anew because the report changed meanwhile.
/// More: refused with `Busy`.
pub const OUTDATED_TRIES_MAX: usize = 4;
/// After how many days it is asked whether staff called back.
pub const CALL_BACK_ASKED_DAYS: i64 = 3;
/// How often a stream that follows a report looks for something new, at most, in
/// milliseconds.
pub const FOLLOW_PACE_MS: u64 = 500;

/// Incidents in one block of the store. Full: the next is begun.
pub const BLOCK_ROWS: usize = 512;
/// Blocks that are closed but not yet in the store. Reached: the committer waits.
pub const BLOCKS_PENDING_MAX: usize = 4_096;
/// Largest block, in bytes.
pub const BLOCK_BYTES_MAX: usize = 32 * 1024;
/// Different operators that the tallies tell apart. Further ones: counted as not known.
pub const OPERATORS_MAX: usize = 1_024;
/// Different lines that the tallies tell apart. Further ones: counted as not known.
pub const LINES_MAX: usize = 65_535;
/// Different stops that the tallies tell apart. Further ones: counted as not known.
pub const STOPS_MAX: usize = 262_143;
/// Incidents of the last 25 hours kept at hand for sliding windows. Reached: the oldest
/// minutes are let go, and the window says from when it is complete.
pub const RECENT_ROWS_MAX: usize = 2_000_000;
/// Minutes kept for sliding windows.
pub const RECENT_MINUTES: u32 = 25 * 60;

/// Longest name of a feed of tap counts.
pub const FEED_ID_BYTES_MAX: usize = 32;
/// Most taps that one count can tell. More: refused.
pub const TAPS_PER_COUNT_MAX: u32 = 1_000_000_000;
/// Tap counts in one call, or in one message of a stream. More: refused whole.
pub const TAP_COUNTS_PER_CALL_MAX: usize = 1_000;
/// Size of one entry of tap counts, in bytes; further ones go into the next.
pub const TAP_BATCH_BYTES_MAX: usize = 12 * 1024;
/// Feeds of tap counts. More: refused.
pub const TAP_FEEDS_MAX: usize = 256;
/// Of those, feeds of one operator. More: refused.
pub const TAP_FEEDS_PER_OPERATOR_MAX: usize = 32;
/// Days of one declared outage, withdrawn ones too. More: refused.
pub const OUTAGE_DAYS_MAX: i32 = 92;
/// Declarations and withdrawals of outages that are kept, for ever. More: refused.
pub const OUTAGE_CHANGES_MAX: usize = 1_000;
/// Scopes (lines, stops, or pairs of both) of one feed. More: refused.
pub const TAP_SCOPES_MAX: usize = 262_144;
/// How long tap counts are kept when nothing else is set, in days: 18 months.
pub const TAP_DAYS_DEFAULT: u32 = 548;
/// How long tap counts may be kept at least and at most, in days.
pub const TAP_DAYS_MIN: u32 = 31;
/// See `TAP_DAYS_MIN`.
pub const TAP_DAYS_MAX: u32 = 3_660;
/// What a question with rates as of an earlier position holds of tap counts at once, in bytes,
/// unless one day of one feed takes more. The rest is made in further passes.
pub const PAST_TAP_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Messages of how far such an answer is that wait for their client, the answer itself among them.
/// Reached: what is told meanwhile is left out.
pub const PROGRESS_MESSAGES_MAX: usize = 8;
/// The shortest time between two of them, in milliseconds.
pub const PROGRESS_PACE_MS: u64 = 100;
/// Questions at once that make tap counts of an earlier position. Reached: refused with `Busy`.
pub const PAST_QUESTIONS_MAX: usize = 2;
/// What is kept in memory of tap counts that were read for rates, in bytes. Reached: let go,
/// and read again when it is asked for.
pub const DAY_HEADS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries of tap counts that are not yet in the store. Reached: the committer waits; while the
/// store is still opening, further ones are refused.
pub const TAP_CHANGES_PENDING_MAX: usize = 512;
/// Downloads of editions that are being made. More wait.
pub const DOWNLOADS_MADE_MAX: usize = 4;
/// Calls that read an edition at once, each of which may have all of it in memory. Reached: refused with
/// `Busy`.
pub const EDITION_READS_MAX: usize = 8;
/// Open streams of tap counts. Reached: refused with `Busy`.
pub const TAP_STREAMS_MAX: usize = 16;
/// Those with one token. Reached: refused, with the quota named.
pub const TAP_STREAMS_PER_TOKEN_MAX: usize = 4;

// No token takes every stream.
const _: () = assert!(INCIDENT_STREAMS_PER_TOKEN_MAX < INCIDENT_STREAMS_MAX);
const _: () = assert!(TAP_STREAMS_PER_TOKEN_MAX < TAP_STREAMS_MAX);

/// Dimensions of one question. More: refused.
pub const DIMENSIONS_MAX: usize = 3;
/// Values in one list of a filter. More: refused.
pub const FILTER_VALUES_MAX: usize = 64;
/// Longest window of a question, in hours. Longer: refused.
pub const WINDOW_HOURS_MAX: u32 = 10 * 366 * 24;
/// Rows that one question may have before paging. More: refused, asking for a narrower one.
pub const QUESTION_ROWS_MAX: usize = 4_000_000;
/// Lines with any incidents times days of the window of a question by line. More: its rows do not
/// say whether they rest on few days.
pub const LINE_DAYS_MAX: u64 = 3_900_000;
/// Rows of one page. More asked for: refused.
pub const PAGE_ROWS_MAX: usize = 10_000;
/// Rows of a page when nothing is asked for.
pub const PAGE_ROWS_DEFAULT: usize = 1_000;
/// Questions under way at once. Reached: refused with `Busy`.
pub const QUESTIONS_MAX: usize = 64;
/// Lists of reports, and of how long answers took, that are made at once. Reached: refused with `Busy`.
pub const CASE_LISTS_MAX: usize = 16;
/// Cells, of four bytes, that all questions under way count in together. Reached: refused
/// with `Busy`.
pub const CELLS_IN_USE_MAX: u64 = 48 * 1024 * 1024;
/// Block scans at once. Reached: refused with `Busy`.
pub const SCANS_MAX: usize = 2;
/// Questions that wait at once for a store that is being opened. Reached: told at once that it is, so
/// that there is room for questions that need no store.
pub const OPENING_WAITERS_MAX: usize = 8;

const _: () = assert!(OPENING_WAITERS_MAX < QUESTIONS_MAX);

/// Days of a period that must have taps for a rate, in percent. Fewer: a count and no rate.
pub const COVERED_DAYS_PERCENT_MIN: u64 = 90;
/// Reports of a period that must be matched to taps for a rate, in percent. Fewer: a count
/// and no rate.
pub const MATCHED_REPORTS_PERCENT_MIN: u64 = 80;
/// Scopes with enough data that a ranking needs. Fewer: no ranking.
pub const RANKED_SCOPES_MIN: usize = 20;
/// Operators, lines or stops of one ranking. More: refused.
pub const RANKED_SCOPES_MAX: usize = 10_000;
/// Events that a scope must expect at the network's rate to be ranked. Fewer: listed apart.
pub const RANKED_EXPECTED_MIN: f64 = 5.0;

/// Open watch streams. Reached: refused.
pub const WATCHERS_MAX: usize = 16_384;
/// Open watch streams with one token. Reached: refused.
pub const WATCHERS_PER_TOKEN_MAX: usize = 1_024;
/// Open watch streams without a token from one prefix of each width of `COUNTED_PREFIXES`, the narrowest first: an
/// address or what is one customer's; what is routed as one; what a provider has, which is half of
/// all, so that no provider's customers take every stream. Reached: refused.
pub const WATCHERS_PER_PREFIX_MAX: [usize; COUNTED_PREFIXES.len()] = [1_024, 4_096, 8_192];
/// Open watch streams without a token from this machine, which all share one prefix. Reached:
/// refused.
pub const WATCHERS_ON_LOOPBACK_MAX: usize = WATCHERS_MAX;
/// Open streams of those who follow their own reports, which are counted apart: anybody can report,
/// and nobody who did takes the place of who watches. Reached: refused.
pub const FOLLOWERS_MAX: usize = 8_192;
/// Of those, with one token. Reached: refused.
pub const FOLLOWERS_PER_TOKEN_MAX: usize = 1_024;
/// Of those, without a token from one prefix of each width, as above. Reached: refused.
pub const FOLLOWERS_PER_PREFIX_MAX: [usize; COUNTED_PREFIXES.len()] = [512, 2_048, 4_096];
/// Incidents, and what happened to them, in one message. More: the next message has them.
pub const LOG_EVENTS_PER_MESSAGE_MAX: usize = 256;
/// Bytes of such a message, which lies in memory for each watcher that is slow to take it. More:
/// the next message has them.
pub const LOG_MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of one of them as it travels: what facts may have at most is far below.
pub const LOG_EVENT_BYTES_MAX: usize = 512;
/// Incidents, and what happened to them, that are kept in memory for all watchers together. A
/// watcher that falls behind by more is ended with `RESOURCE_EXHAUSTED`, and can resume.
pub const LOG_EVENTS_KEPT_MAX: usize = 8_192;
/// Of those, how many are looked at for one watcher before others have a turn.
pub const LOG_EVENTS_LOOKED_AT_MAX: usize = 1_024;
/// How long a message to a watcher may wait while its client takes nothing, in milliseconds.
/// Longer: the stream is ended with `RESOURCE_EXHAUSTED`, and can be resumed. As long again, and its
/// client has not heard so, or in the midst of a message: the stream is reset. As long once more, and
/// it still waits: the connection is ended.
pub const WATCH_UNTAKEN_MS_MAX: u64 = 60_000;
/// Smallest message to a watcher that is counted until its last part is lent, in bytes.
/// Only a whole state, or much of it, is as large.
pub const WATCH_UNTAKEN_BYTES_MIN: usize = 64 * 1024;
/// Bytes of such messages with one token, each counted once however many streams it waits in.
/// More: the stream that is due for another is ended with `RESOURCE_EXHAUSTED`.
pub const WATCH_UNTAKEN_BYTES_PER_TOKEN_MAX: usize = 64 * 1024 * 1024;
/// The same from one prefix of each width of `COUNTED_PREFIXES`, the narrowest first.
pub const WATCH_UNTAKEN_BYTES_PER_PREFIX_MAX: [usize; COUNTED_PREFIXES.len()] =
    [64 * 1024 * 1024, 128 * 1024 * 1024, 256 * 1024 * 1024];
/// The same from this machine.
pub const WATCH_UNTAKEN_BYTES_ON_LOOPBACK_MAX: usize = 256 * 1024 * 1024;
/// Smallest piece of an answer that is no watch, a page or a download that is counted until its client has
/// taken it, in bytes, within the same bounds but apart: the answer is reset where there would be more.
/// Where nothing of an answer is taken for `WATCH_UNTAKEN_MS_MAX`, its connection is ended.
pub const ANSWER_UNTAKEN_BYTES_MIN: usize = 4 * 1024;
/// Bytes of messages to one watcher that may wait for its client. Reached: the next message is made
/// when they are taken. One message may be larger.
pub const WATCH_AHEAD_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a message that are handed to a connection at once. A larger message goes in parts, each
/// when the one before it was taken. A multiple of 3, so that base64 of a part ends without padding,
/// and no larger than a frame of HTTP/2.
pub const WATCH_PART_BYTES_MAX: usize = 16 * 1024 - 1;
/// How often it is looked for streams whose clients take nothing, in milliseconds.
pub const WATCH_UNTAKEN_LOOK_MS: u64 = 5_000;
/// Entries of the journal that are read at a time for a watcher. More: read next.
pub const LOG_READ_ENTRIES_MAX: u64 = 4_096;
/// Entries, written a moment ago, that are read for all watchers without another thread. More
/// go to one that may block.
pub const LOG_READ_AT_ONCE_ENTRIES_MAX: u64 = 64;
/// Watchers of incidents that the committer wakes by itself. Where there are more, the log's task
/// reads what happened and wakes them, so that reports do not wait for it.
pub const LOG_FED_WATCHERS_MAX: usize = 64;
/// Reads of the journal for watchers at once. Reached: the next watcher waits.
pub const LOG_READS_MAX: usize = 4;
/// Of those, how many for watchers with one token, and for all who have none. Reached: the next of
/// theirs waits, and takes no turn of anybody else's meanwhile.
pub const LOG_READS_PER_TOKEN_MAX: usize = 2;
/// Ids that are looked up under one lock of the ledger, so that the committer never waits
/// for long.
pub const LOG_IDS_PER_LOCK_MAX: usize = 128;
/// After a failed read of the journal for all watchers, when it is tried again, in
/// milliseconds.
pub const LOG_RETRY_MS: u64 = 1_000;
/// Different questions watched at once. Reached: refused.
pub const WATCHED_QUESTIONS_MAX: usize = 1_024;
/// Different questions with rates watched at once, since each keeps taps. Reached: refused.
pub const WATCHED_RATES_MAX: usize = 32;
/// Different questions watched at once with one token, those among them that others watch as well.
/// Reached: refused. Where nobody has a token, all are one and have all places.
pub const WATCHED_QUESTIONS_PER_TOKEN_MAX: usize = 64;
/// Different questions with rates watched at once with one token. Reached: refused.
pub const WATCHED_RATES_PER_TOKEN_MAX: usize = 8;
/// Rows of all questions together that one token asked for first, of those that it still watches, or
/// was left with by who did. More: the question that has them is refused, or its stream is ended.
pub const WATCHED_ROWS_PER_TOKEN_MAX: usize = 160_000;
/// The same of all who have no token.
pub const WATCHED_ROWS_WITHOUT_TOKEN_MAX: usize = 1_000_000;
/// Sums of taps, by what rows tell apart and by day, that a watched question with rates may
/// need. More: refused, or the stream is ended.
pub const WATCHED_TAP_SUMS_MAX: usize = 65_536;
/// Part of what a row is about of the window that taps must be told for before it has a rate in a
/// watch, in percent. Less: a count and no rate.
pub const WATCH_RATED_PERCENT_MIN: u64 = 50;
/// Rows that a watched question may have. More: refused, or the stream is ended.
pub const WATCHED_ROWS_MAX: usize = 10_000;
/// Shortest and longest window of a watch, in minutes.
pub const WATCH_WINDOW_MINUTES_MIN: u32 = 5;
/// Longest window of a watch, in minutes.
pub const WATCH_WINDOW_MINUTES_MAX: u32 = 24 * 60;
/// Window of a watch when none is asked for, in minutes.
pub const WATCH_WINDOW_MINUTES_DEFAULT: u32 = 60;
/// Shortest pace of a watch, in milliseconds.
pub const WATCH_PACE_MS_MIN: u64 = 100;
/// Longest pace of a watch, in milliseconds.
pub const WATCH_PACE_MS_MAX: u64 = 60_000;
/// Pace of a watch when none is asked for, in milliseconds.
pub const WATCH_PACE_MS_DEFAULT: u64 = 1_000;
/// Time without a message after which a heartbeat is sent, in milliseconds.
pub const HEARTBEAT_MS: u64 = 15_000;
/// Changed rows that the publisher is told one by one between two rounds. More: every
/// watched question is counted again.
pub const CHANGED_ROWS_MAX: usize = 4_096;
/// Requests for a watch that wait for the publisher. More wait to be put there.
pub const WATCH_REQUESTS_MAX: usize = 256;
/// Figures that wait between counting and publishing. Reached: counting waits.
pub const WATCH_RESULTS_MAX: usize = 16;
/// Differences to earlier states that one state keeps for all its watchers. Further ones
/// are made anew for each watcher.
pub const WATCH_DIFFERENCES_MAX: usize = 16;
/// Messages that one state keeps, with their encoding, for all its watchers. Further ones take
/// the place of the oldest.
pub const WATCH_MESSAGES_KEPT_MAX: usize = 16;
/// Earlier states of a watched question that are kept because watchers have them, to tell these
/// what changed. A watcher that has an older one is told the whole state.
pub const WATCH_STATES_KEPT_MAX: usize = 16;
/// Rows that those have together. More: the oldest is let go of, and whoever has it is told the whole
/// state.
pub const WATCH_EARLIER_ROWS_MAX: usize = 4 * WATCHED_ROWS_MAX;
/// Messages of incidents that are kept, with their encoding, for all watchers at the end of
/// the journal. Further ones take the place of the oldest.
pub const LOG_MESSAGES_KEPT_MAX: usize = 64;
/// After so long a round of the publisher begins no further question, in milliseconds: a new one
/// waits no longer, and for one that is being counted. The rest are counted in the next round.
pub const WATCH_ROUND_MS_MAX: u64 = 100;
/// Longest rest of the publisher after a round, in milliseconds. It rests as long as the counting
/// took; new questions do not wait for that.
pub const WATCH_REST_MS_MAX: u64 = 1_000;
/// How often the publisher looks whether the clock has moved to another minute, at least,
/// in milliseconds.
pub const CLOCK_CHECK_MS: u64 = 1_000;

/// Entries from which personal data is taken away at once; a reader that comes upon one of
/// them waits as long.
pub const REMOVED_AT_ONCE_MAX: u64 = 512;
/// How long notes and words are kept when nothing else is set, in days since they came in.
pub const WORDS_DAYS_DEFAULT: u32 = 90;
/// How long personal parts are kept when nothing else is set, in days since they came in: six
/// months.
pub const PERSONAL_DAYS_DEFAULT: u32 = 183;
/// How long personal parts are kept at least, in days: until the last edition of a quarter has
/// closed, which needs to know who told the reports of its first day.
pub const PERSONAL_DAYS_MIN: u32 = 125;

/// How long single incidents are kept when nothing else is set, in whole months after the one
/// in which their entries came. With that month, and `WAY_BACK_DAYS_MAX` in which more may be
/// told, nothing of a single incident is left 18 months after it was reported; that it was erased,
/// where words of an answer were left later than that, for `WORDS_DAYS_DEFAULT` longer.
pub const INCIDENT_MONTHS_DEFAULT: u32 = 11;
/// Fewest months that may be set: the last edition of a quarter must have closed.
pub const INCIDENT_MONTHS_MIN: u32 = 5;
/// Most months that may be set. See `INCIDENT_MONTHS_DEFAULT`.
pub const INCIDENT_MONTHS_MAX: u32 = 11;
/// How long a report may be amended, withdrawn or answered, in days after it was received. Later:
/// refused. Its personal part may be erased as long as there is any.
pub const WAY_BACK_DAYS_MAX: i64 = 183;
/// How long an id is known after the day in which it says it was made, in days: older ones are
/// refused, by a clock that may be corrected by as much again (`INCIDENT_AGE_DAYS_MAX`,
/// `CLOCK_CORRECTION_MS_MAX`).
pub const ID_DAYS_KEPT: u32 = 802;

/// How often it is looked whether the time of personal data has come, in milliseconds.
pub const RETENTION_LOOK_MS: u64 = 600_000;

/// Fewest reporters (of self-reports) or refused taps (of observations) behind any published
/// figure and behind any difference of published figures. Fewer: joined with others, or not
/// published.
pub const PUBLISHED_GROUP_MIN: usize = 10;

/// Local day of the next month on which the edition of a month closes, at midnight. What is
/// recorded later: counted only as too late.
pub const EDITION_CLOSES_ON_DAY: i8 = 22;
/// Reports of one reporter and month that an edition counts. Further ones: left out, and
/// counted as such.
pub const COUNTED_REPORTS_PER_MONTH_MAX: usize = 10;
/// New installations without a card whose reports an edition counts, for each address prefix,
/// operator and day. Further ones: their reports are flagged, and left out.
pub const NEW_INSTALLATIONS_PER_PREFIX_MAX: usize = 3;
/// Address prefixes, each with an operator, that are remembered for a day. Reached: reports of
/// further ones are flagged, too.
pub const NEWCOMER_PREFIXES_MAX: usize = 131_072;
/// Operators for which installations of one address prefix are remembered for a day: more than the
/// Netherlands have. Reached: reports for further ones are flagged, too, so that one prefix takes no
/// more than its part of all that is remembered.
pub const NEWCOMER_OPERATORS_PER_PREFIX_MAX: usize = 64;
/// Editions that are kept in memory after being read. Further ones: the one that was asked
/// for longest ago is let go.
pub const EDITIONS_HELD_MAX: usize = 12;
/// Fewest reports of an operator of which an edition has rates.
pub const EDITION_RATED_REPORTS_MIN: u64 = 50;
/// Tap counts, of four bytes, that closing a month holds. More: the edition has no rates of the
/// operator that told most.
pub const EDITION_TAP_CELLS_MAX: usize = 48 * 1024 * 1024;
/// Largest file of an edition, in bytes. Larger: not closed, and not read.
pub const EDITION_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How often it is looked whether an edition is due, in milliseconds.
pub const EDITION_LOOK_MS: u64 = 60_000;
/// How long personal parts whose time has come wait for an edition that is due and needs them, in
/// milliseconds since that was seen. Reached: they go, and it is closed no more.
pub const EDITION_WAIT_MS: u64 = 3_600_000;
const _: () = assert!(EDITION_LOOK_MS < EDITION_WAIT_MS);
/// Rows of one page of an edition. More asked for: refused.
pub const EDITION_ROWS_PER_PAGE_MAX: usize = 10_000;
/// Rows of a page of an edition when nothing is asked for.
pub const EDITION_ROWS_PER_PAGE_DEFAULT: usize = 1_000;
/// Editions of one download. More asked for: refused.
pub const EDITIONS_PER_DOWNLOAD_MAX: usize = 120;

/// Longest search text, in characters. Longer: refused.
pub const SEARCH_CHARS_MAX: usize = 100;
/// Searches for stops at once. Further ones wait.
pub const SEARCHES_MAX: usize = 4;
/// Stops in an answer when nothing is asked for.
pub const STOPS_PER_ANSWER_DEFAULT: usize = 10;
/// Radius of a search around a position when none is asked for, in metres.
pub const RADIUS_METRES_DEFAULT: u32 = 500;
/// Lines in an answer when nothing is asked for.
pub const LINES_PER_PAGE_DEFAULT: usize = 100;
/// Lines in one answer. More asked for: refused.
pub const LINES_PER_PAGE_MAX: usize = 1_000;
/// Lines in one answer with their stops. More asked for: refused.
pub const LINES_WITH_STOPS_PER_PAGE_MAX: usize = 50;
/// Stops in one answer.
pub const STOPS_PER_ANSWER_MAX: usize = 50;
/// Largest radius of a search around a position, in metres.
pub const RADIUS_METRES_MAX: u32 = 5_000;
/// Stops, lines and operators that a network may have. More: the feed is refused.
pub const NETWORK_STOPS_MAX: usize = 200_000;
/// Largest uncompressed file in a feed, in bytes. Larger: the feed is refused.
pub const FEED_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Files in the archive of a feed. More: the feed is refused.
pub const FEED_FILES_MAX: usize = 1_000;
/// Trips in a feed. More: the feed is refused.
pub const FEED_TRIPS_MAX: usize = 4_000_000;
/// Rows of stops in a feed, platforms included. More: the feed is refused.
pub const FEED_STOP_ROWS_MAX: usize = 500_000;
/// Longest text in a feed, in characters. Longer: the feed is refused.
pub const FEED_TEXT_CHARS_MAX: usize = 255;
/// Longest row of a table that is imported, of a feed or of tap counts, in bytes. Longer: the table
/// is refused.
pub const TABLE_ROW_BYTES_MAX: usize = 1024 * 1024;

/// Largest request, in bytes. Larger: refused by the server.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest message with a single report, by itself or on a stream, in bytes: far more than one that
/// breaks no rule. Larger: refused.
pub const REPORT_BYTES_MAX: usize = 64 * 1024;
/// Smallest request that takes a place among the large ones until all of it has come, in bytes.
pub const LARGE_REQUEST_BYTES_MIN: usize = 64 * 1024;
/// Large requests on their way at once, with a token and without one. Reached: refused, here and below.
pub const LARGE_REQUESTS_MAX: usize = 128;
/// The same with one token.
pub const LARGE_REQUESTS_PER_TOKEN_MAX: usize = 32;
/// The same without a token, from one prefix of each width of `COUNTED_PREFIXES`, the narrowest first.
pub const LARGE_REQUESTS_PER_PREFIX_MAX: [usize; COUNTED_PREFIXES.len()] = [16, 32, 64];
/// How long nothing may come of a connection before its client is asked for a sign of life, in
/// milliseconds. HTTP/2 asks sooner, and HTTP/1.1 does not.
pub const TCP_KEEPALIVE_MS: u64 = 60_000;
/// What the kernel takes of an answer before its client can take it, in bytes. More: the connection
/// waits, so that what is let go of tells that a slow client takes some.
pub const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// What a connection holds back to write it with what comes next, in bytes. More: written.
pub const CORKED_BYTES_MAX: usize = 64 * 1024;
/// What is read of a connection before the calls in it are begun, in bytes, where one read does not
/// bring more: HTTP/2 reads up to 8 KiB at once. The rest is read after them.
pub const READ_BYTES_PER_TURN: usize = 4 * 1024;
/// Open connections; as many fewer as the process may have fewer files. Reached: closed as they come.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Of those, from one prefix of each width of `COUNTED_PREFIXES`, the narrowest first, and no more than
/// an eighth, a quarter and a half of all. From this machine all may come: a proxy's do. Reached: closed
/// as they come.
pub const CONNECTIONS_PER_PREFIX_MAX: [usize; COUNTED_PREFIXES.len()] = [1_024, 4_096, 16_384];
/// Files that the process may have open and that are left to the record, or half of them if that is
/// less. Connections have the others.
pub const FILES_RESERVED: usize = 512;
/// Streams of one connection. More wait.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// How many streams of a connection are polled before what they said is written. More: after that.
pub const STREAMS_PER_TURN: usize = 64;
/// How long a connection polls its streams, reads and writes before others are served, in
/// microseconds; a little more where one stream takes longer.
pub const ROUND_MICROS_MAX: u64 = 1_000;
/// Live tokens. More: refused. Revoked ones are kept for the list as long as there is room.
pub const TOKENS_MAX: usize = 1_024;
/// Live tokens of one label, so that one can take the place of another. More: refused.
pub const TOKENS_PER_LABEL_MAX: usize = 2;
/// Longest label of a token, in characters. Longer: refused.
pub const TOKEN_LABEL_CHARS_MAX: usize = 64;
/// Operators that one token is bound to. More: refused.
pub const TOKEN_OPERATORS_MAX: usize = 64;
/// Largest file of tokens, in bytes. Larger: refused.
pub const TOKEN_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest word of an argument of the command that is repeated when it is not understood:
/// secrets and tokens are longer.
pub const TOLD_ARGUMENT_BYTES_MAX: usize = 40;
/// How often it is looked whether the file of tokens changed, in milliseconds.
pub const TOKEN_LOOK_MS: u64 = 1_000;
/// Calls of one IPv4 address, or one /64 of IPv6, that has no token: so many a second in the
/// long run. A report is a call, and one that comes alone is a single one; a call of many
/// reports, or a stream of them, is one besides. More: refused with `RESOURCE_EXHAUSTED` and how
/// long to wait, here and below.
pub const PREFIX_CALLS_PER_SECOND_MAX: u32 = 20;
/// Calls at once of an address that was quiet: an offline queue, or a carrier's gateway.
pub const PREFIX_BURST_MAX: u32 = 4_000;
/// Prefixes whose calls without a token are counted together, the narrowest first, so that
/// whoever owns many addresses gains little by changing them: an address; what is routed as one,
/// or given to one customer; what a provider has. Each has so many times the bounds above, as
/// far more people share a wide one.
pub const COUNTED_PREFIXES: [CountedPrefix; 3] = [
    CountedPrefix::new(32, 64, 1),
    CountedPrefix::new(24, 48, 8),
    CountedPrefix::new(16, 32, 64),
];
/// Calls with one token, and observed incidents told with it, a second in the long run.
pub const TOKEN_CALLS_PER_SECOND_MAX: u32 = 20_000;
/// Calls at once with a token that was quiet.
pub const TOKEN_BURST_MAX: u32 = 200_000;
/// Reports of one installation an hour in the long run, and of one card without an installation
/// from one address prefix.
pub const REPORTER_REPORTS_PER_HOUR_MAX: u32 = 30;
/// Reports at once of one that was quiet: a day without signal.
pub const REPORTER_BURST_MAX: u32 = 60;
/// Cells of eight bytes that count calls and reports, for each kind of bound and each width of
/// prefix. Two prefixes, tokens or reporters that share one share its bound.
pub const LIMITER_CELLS: usize = 65_536;
/// How often one record may be restored from a copy: whoever reads a case number tries a key for
/// each time. More: refused.
pub const RESTORES_MAX: usize = 64;
/// Largest key file, in bytes. Larger: refused.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// How long a call may take until its answer begins, in milliseconds. Longer: ended with
/// `DEADLINE_EXCEEDED`; a report may have been recorded nevertheless.
pub const CALL_MS_MAX: u64 = 30_000;
/// How long a connection may be open without having said which HTTP it speaks, in milliseconds.
/// Longer: it is closed.
pub const GREETING_MS_MAX: u64 = 30_000;
/// Between two pings on a quiet connection, in milliseconds.
pub const KEEPALIVE_MS: u64 = 30_000;
/// How long a ping may stay unanswered, in milliseconds. Longer: the connection is closed.
pub const KEEPALIVE_ANSWER_MS_MAX: u64 = 20_000;
/// Longest token of a page or of a watch, in bytes. Longer: refused.
pub const TOKEN_BYTES_MAX: usize = 1_024;
/// How long a shutdown waits for work under way, in milliseconds.
pub const DRAIN_MS_MAX: u64 = 5_000;
/// What of that is kept for the record: committing what was taken in, and a checkpoint.
pub const RECORD_DRAIN_MS: u64 = 2_500;
/// How often a newer network is looked for, in milliseconds.
pub const NETWORK_LOOK_MS: u64 = 10_000;
/// What a refused client is told to wait, in milliseconds.
pub const RETRY_AFTER_MS: u64 = 1_000;

/// Two taps of one reporter at one reader that lie no further apart, in milliseconds, are one
/// incident: the second report is kept, and counts nothing.
pub const TOLD_AGAIN_MS_MAX: i64 = 120_000;
/// Reports, the latest, among which it is looked for such a tap. Further ones: the oldest is
/// forgotten, and what tells it again counts.
pub const TOLD_AGAIN_REPORTS_MAX: usize = 32_768;
/// Of those, how many of one reporter at one reader. Further ones: as above.
pub const TOLD_AGAIN_PER_READER_MAX: usize = 64;

// Not equal: an entry may be stamped on the day after the one on which it was checked.
const _: () =
    assert!(INCIDENT_AGE_DAYS_MAX + CLOCK_CORRECTION_MS_MAX / DAY_MS < ID_DAYS_KEPT as i64);
const _: () = assert!(INCIDENTS_PER_CALL_MAX <= BATCH_ENTRIES_MAX);
const _: () = assert!(INCIDENTS_PER_CALL_MAX < PREFIX_BURST_MAX as usize);
const _: () = assert!(STREAM_IN_FLIGHT_MAX <= QUEUE_ENTRIES_MAX);
const _: () = assert!(STREAMS_IN_FLIGHT_MAX < QUEUE_ENTRIES_MAX);
const _: () = assert!(STREAM_BATCH_MAX <= STREAM_IN_FLIGHT_MAX);
const _: () = assert!(STREAM_IN_FLIGHT_MAX <= STREAMS_IN_FLIGHT_MAX);
const _: () = assert!(RECORD_DRAIN_MS < DRAIN_MS_MAX);
const _: () = assert!(STREAM_UNTAKEN_STOPPING_MS_MAX < DRAIN_MS_MAX - RECORD_DRAIN_MS);
const _: () = assert!(BATCH_ENTRIES_MAX <= QUEUE_ENTRIES_MAX);
const _: () = assert!((BATCH_ENTRIES_MAX * RECORD_BYTES_MAX) as u64 <= 2 * SEGMENT_BYTES);
const _: () = assert!(WATCH_WINDOW_MINUTES_MAX < RECENT_MINUTES);
const _: () = assert!(WATCH_PACE_MS_MIN < WATCH_PACE_MS_MAX);
const _: () = assert!(CLOCK_CHECK_MS < HEARTBEAT_MS);
const _: () = assert!(WATCHED_QUESTIONS_PER_TOKEN_MAX < WATCHED_QUESTIONS_MAX);
const _: () = assert!(WATCHED_RATES_PER_TOKEN_MAX < WATCHED_RATES_MAX);
const _: () = assert!(WATCHED_ROWS_MAX <= WATCHED_ROWS_PER_TOKEN_MAX);
const _: () = assert!(WATCHED_ROWS_PER_TOKEN_MAX <= WATCHED_ROWS_WITHOUT_TOKEN_MAX);
const _: () = assert!(WATCH_UNTAKEN_LOOK_MS < WATCH_UNTAKEN_MS_MAX);
const _: () = assert!(WATCH_PART_BYTES_MAX.is_multiple_of(3));
// What may wait for one watcher of incidents, and is counted for nobody: what is lent already, a
// message, and a part of it as base64.
const _: () = assert!(
    WATCH_AHEAD_BYTES_MAX + LOG_MESSAGE_BYTES_MAX + WATCH_PART_BYTES_MAX / 3 * 4
        < WATCH_UNTAKEN_BYTES_MIN
);
// Or a message that is counted could be lent as a whole, and its leave given back before it is taken.
const _: () = assert!(WATCH_PART_BYTES_MAX < WATCH_UNTAKEN_BYTES_MIN);
const _: () = assert!(CONNECTIONS_PER_PREFIX_MAX[0] <= CONNECTIONS_PER_PREFIX_MAX[1]);
const _: () = assert!(CONNECTIONS_PER_PREFIX_MAX[1] <= CONNECTIONS_PER_PREFIX_MAX[2]);
const _: () = assert!(CONNECTIONS_PER_PREFIX_MAX[2] < CONNECTIONS_MAX);
const _: () = assert!(WATCHERS_PER_PREFIX_MAX[0] <= WATCHERS_PER_PREFIX_MAX[1]);
const _: () = assert!(WATCHERS_PER_PREFIX_MAX[1] <= WATCHERS_PER_PREFIX_MAX[2]);
const _: () = assert!(WATCHERS_PER_PREFIX_MAX[2] < WATCHERS_MAX);
const _: () = assert!(WATCHERS_PER_TOKEN_MAX <= WATCHERS_MAX);
const _: () = assert!(FOLLOWERS_PER_PREFIX_MAX[0] <= FOLLOWERS_PER_PREFIX_MAX[1]);
const _: () = assert!(FOLLOWERS_PER_PREFIX_MAX[1] <= FOLLOWERS_PER_PREFIX_MAX[2]);
const _: () = assert!(FOLLOWERS_PER_PREFIX_MAX[2] < FOLLOWERS_MAX);
const _: () = assert!(FOLLOWERS_PER_TOKEN_MAX <= FOLLOWERS_MAX);
const _: () = assert!(LOG_READS_PER_TOKEN_MAX < LOG_READS_MAX);
const _: () = assert!(LOG_EVENTS_PER_MESSAGE_MAX <= LOG_EVENTS_LOOKED_AT_MAX);
const _: () = assert!(LOG_EVENT_BYTES_MAX < LOG_MESSAGE_BYTES_MAX);
const _: () = assert!(LOG_MESSAGE_BYTES_MAX < WATCH_UNTAKEN_BYTES_MIN);
// All states of the shortest pace that come between two messages of the usual one.
const _: () = assert!(WATCH_PACE_MS_DEFAULT / WATCH_PACE_MS_MIN < WATCH_STATES_KEPT_MAX as u64);
const _: () = assert!(LOG_EVENTS_LOOKED_AT_MAX <= LOG_EVENTS_KEPT_MAX);
const _: () = assert!(BLOCK_ROWS * 64 <= BLOCK_BYTES_MAX);
const _: () = assert!(TAP_BATCH_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(TAP_FEEDS_MAX <= u16::MAX as usize);
const _: () = assert!(TAP_DAYS_MIN <= TAP_DAYS_DEFAULT && TAP_DAYS_DEFAULT <= TAP_DAYS_MAX);
// A fifth of the reports may stay unmatched; that it is no more must not tell of fewer than ten.
const _: () = assert!(
    PUBLISHED_GROUP_MIN as u64 * 100
        <= EDITION_RATED_REPORTS_MIN * (100 - MATCHED_REPORTS_PERCENT_MIN)
);
