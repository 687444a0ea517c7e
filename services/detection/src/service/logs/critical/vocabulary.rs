//! Words that decide whether a phrase states a fact; in each list they are separated by spaces.

/// Words that say that something happened.
pub(super) const FACTS: &str = "\
    failed fails failure failing crashed crash crashes died dead killed killing terminated terminating \
    aborted aborting exited exiting stopped stopping lost broke hit got ran encountered encountering \
    occurred detected raised threw thrown throws received caught unexpected unhandled uncaught \
    unrecoverable because due caused causing cause reason error errors exception shutting halting halted \
    evicted restarted restarting oom is are was were has had have ended with";

/// Those of them that outweigh a condition or a mention before the phrase.
pub(super) const EVENTS: &str = "\
    failed crashed died killed terminated aborted exited stopped lost hit got ran encountered occurred \
    raised threw caught unexpected unhandled uncaught because due caused shutting halted evicted \
    restarted aborting exiting";

/// What says that there are none: shortly before the phrase, or a while.
pub(super) const NEAR_NEGATIONS: &str = "no not non 0 zero never without nor neither cannot";

pub(super) const NEGATIONS: &str = "\
    avoid avoids avoided avoiding prevent prevents prevented preventing ignore ignores ignored ignoring \
    suppress suppressed suppressing skip skipping without survive survives survived withstand tolerate \
    tolerates handle handles";

pub(super) const CONDITIONS: &str = "\
    if when whenever unless until should in-case whether once before otherwise suppose";

pub(super) const MODALS: &str = "\
    better rather prefer would could may might can will shall must should likely possible possibly \
    potential potentially risk risks close near nearly almost danger soon";

pub(super) const LATER_MODALS: &str = "\
    would could may might can will shall must should expected imminent";

/// Prepositions after which a thing is named.
pub(super) const NAMING: &str = "on upon for against of as about like than to before";

/// What makes `of` a cause.
pub(super) const OF_CAUSES: &str = "because died dead consequence result dies victim";

/// Words after which a line talks about something that has a name or a text.
pub(super) const MENTIONS: &str = "\
    rule rules pattern patterns regex filter filters matcher keyword keywords matched matches matching \
    option options flag flags setting settings parameter param default defaults usage help hint tip tips \
    advice example examples eg documentation docs doc see tutorial simulate simulated simulating \
    simulation drill dry-run mock fake synthetic levels loglevel log-level threshold thresholds policy \
    supports supported feature template titled title named called alias enum glossary treat treats \
    treated treating consider considered classified changelog fix fixes fixed todo fixme subject label \
    search comment posted review wrote ssl tls says said analysed analyzed investigated";

/// Words that make a line one about tests, whatever else it says.
pub(super) const TESTS: &str = "test tests testing testcase spec suite drill rehearsal dry-run example";

/// Words that do so shortly before the phrase.
pub(super) const NEAR_MENTIONS: &str = "\
    enabled enabling enable disable disabled registered registering installed installing configured \
    loaded level set type types class classes import imported function method severity handler hook word \
    string text message";

/// Whose failures are not this service's.
pub(super) const OTHERS: &str = "\
    upstream downstream peer remote client partner vendor dependency neighbour neighbor counterparty \
    browser customer provider third-party backend caller tenant";

/// Fields whose values are what happened.
pub(super) const REPORTS: &str = "\
    reason error err cause state status msg message exception result laststate detail why what";

/// What may stand before a phrase that begins a clause.
pub(super) const SUBJECTS: &str = "\
    a an the in go kernel linux php system host node process worker thread container server heap cgroup \
    memory disk java";

/// What brings their failures here.
pub(super) const ANSWERS: &str = "\
    response error errors reply answer reported reports message said says replied answered";

pub(super) const PAST: &str = "\
    previous previously last earlier historical yesterday past old since former";

pub(super) const PERIODS: &str = "week month year night day hour time run boot 24h";

/// What refuses a name that is given behind it.
pub(super) const REFUSALS: &str = "unknown invalid undefined unsupported unrecognized unrecognised such";

/// What a phrase is the first word of: something that deals with it.
pub(super) const THINGS: &str = "\
    handler handlers handling hook hooks mode modes level levels threshold thresholds policy policies \
    action actions setting settings option options flag flags parameter test tests rule rules alert \
    alerts timeout counter counters metric metrics detector detection protection guard guards check \
    checks checker score killer callback recovery middleware interceptor logger logging logs budget \
    limit watcher monitor monitoring page runbook report reports reporter button scenario drill behavior \
    behaviour prevention simulation file files alarm attack room selling buying";

/// What may stand between a phrase and the word that decides.
pub(super) const FILLERS: &str = "\
    error errors exception exceptions signal signals condition conditions event events situation \
    situations count counts total found seen so far rate crashes message messages detected";

pub(super) const LEVELS: &str = "debug info warn warning error critical fatal panic";

pub(super) const FOUND: &str = "found detected seen present observed";

pub(super) const VERBS_OF_STATE: &str = "is are was were be been has have";

/// What a verb of state goes on with where nothing is broken.
pub(super) const HARMLESS: &str = "\
    not no disabled enabled set configured treated considered logged reported handled ignored skipped \
    suppressed expected avoided prevented impossible possible unlikely retried allowed supported \
    resolved cleared fixed over gone written sent shown forwarded documented described caused followed \
    rare never harmless likely ruled excluded";

/// What says that it was and is over.
pub(super) const OVER: &str = "\
    recovered recovering resolved cleared over longer healed repaired gone successfully";
