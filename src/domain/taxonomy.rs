//! The closed lists that reports and figures are made of, with their stored numbers and
//! their labels in Dutch and English.
//!
//! Numbers are stored in the journal and are the same in the API: a value keeps its
//! number for ever. "Not said" is `None` (stored as 0) and is never counted.

use std::fmt;

/// A closed list whose values have a stored number, a key and labels.
pub trait Taxonomy: Copy + Eq + fmt::Debug + 'static {
    /// The list's name, as in the API.
    const NAME: &'static str;
    /// Every value, in the order in which to show them.
    const ALL: &'static [Self];

    /// The stored number, from 1 up.
    fn number(self) -> u8;
    /// Short name on the command line and in downloads, as in `red-beep`.
    fn key(self) -> &'static str;
    /// Label in Dutch.
    fn label_nl(self) -> &'static str;
    /// Label in English.
    fn label_en(self) -> &'static str;

    /// The value with this stored number; `None` for 0 and for numbers not in the list.
    fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|value| value.number() == number)
    }

    /// The value with this key.
    fn from_key(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.key() == key)
    }

    /// One more than the highest number: the size of a table indexed by number, in which
    /// place 0 stands for "not said".
    fn slots() -> usize {
        Self::ALL
            .iter()
            .map(|value| usize::from(value.number()))
            .max()
            .unwrap_or(0)
            + 1
    }
}

/// The stored number of a value that may not have been said.
pub fn number_of<T: Taxonomy>(value: Option<T>) -> u8 {
    value.map_or(0, T::number)
}

macro_rules! taxonomy {
    ($(#[$doc:meta])* $name:ident {
        $($value:ident = $number:literal, $key:literal, $nl:literal, $en:literal;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = $en] $value = $number,)+
        }

        impl Taxonomy for $name {
            const NAME: &'static str = stringify!($name);
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn number(self) -> u8 {
                self as u8
            }

            fn key(self) -> &'static str {
                match self { $(Self::$value => $key,)+ }
            }

            fn label_nl(self) -> &'static str {
                match self { $(Self::$value => $nl,)+ }
            }

            fn label_en(self) -> &'static str {
                match self { $(Self::$value => $en,)+ }
            }
        }
    };
}

taxonomy! {
    /// What the traveller was on, or about to board.
    Mode {
        Train = 1, "train", "trein", "Train";
        Metro = 2, "metro", "metro", "Metro";
        Tram = 3, "tram", "tram", "Tram";
        LightRail = 4, "light-rail", "sneltram", "Light rail";
        Bus = 5, "bus", "bus", "Bus";
        Ferry = 6, "ferry", "veer of waterbus", "Ferry";
        NeighbourhoodBus = 7, "neighbourhood-bus", "buurtbus", "Neighbourhood bus";
        ReplacementBus = 8, "replacement-bus", "vervangende bus", "Replacement bus";
        Unknown = 9, "unknown", "weet niet", "Unknown";
    }
}

taxonomy! {
    /// What the tap was meant to do.
    TapKind {
        CheckIn = 1, "check-in", "inchecken", "Check-in";
        CheckOut = 2, "check-out", "uitchecken", "Check-out";
        Transfer = 3, "transfer", "overstappen", "Transfer";
        Inspection = 4, "inspection", "controle", "Inspection";
    }
}

taxonomy! {
    /// The device that the card was held to.
    ReaderKind {
        OnboardValidator = 1, "onboard-validator", "kaartlezer in het voertuig", "Reader in the vehicle";
        PlatformPost = 2, "platform-post", "paal op het perron", "Post on the platform";
        Gate = 3, "gate", "poortje", "Gate";
        GateWithScanner = 4, "gate-with-scanner", "poortje met barcodelezer", "Gate with a barcode reader";
        StopPost = 5, "stop-post", "paal op de halte", "Post at the stop";
        DriverConsole = 6, "driver-console", "apparaat van de chauffeur", "Driver's device";
        InspectorHandheld = 7, "inspector-handheld", "controleapparaat", "Inspector's device";
        PickupMachine = 8, "pickup-machine", "ophaalautomaat", "Collection machine";
        PhoneApp = 9, "phone-app", "app op de telefoon", "App on a phone";
        Unknown = 10, "unknown", "weet niet", "Unknown";
    }
}

taxonomy! {
    /// What the reader showed or sounded.
    Signal {
        RedBeep = 13, "red-beep", "rood en een piep", "Red and a beep";
        RedLongBeep = 1, "red-long-beep", "rood en een lange piep", "Red and a long beep";
        RedTripleBeep = 2, "red-triple-beep", "rood en drie piepjes", "Red and three beeps";
        RedSilent = 3, "red-silent", "rood zonder geluid", "Red without a sound";
        RedCross = 4, "red-cross", "rood kruis", "Red cross";
        NoReaction = 5, "no-reaction", "geen reactie", "No reaction";
        DeadScreen = 6, "dead-screen", "zwart scherm", "Dark screen";
        OutOfServiceText = 7, "out-of-service", "'buiten gebruik'", "'Out of service'";
        TextOnly = 8, "text-only", "alleen tekst", "Only a text";
        GateStayedShut = 9, "gate-stayed-shut", "poortje bleef dicht", "Gate stayed shut";
        GatesOpenWithCross = 10, "gates-open-with-cross", "poortjes open met kruis", "Gates open with a cross";
        Green = 11, "green", "groen", "Green";
        Unknown = 12, "unknown", "weet niet", "Unknown";
    }
}

taxonomy! {
    /// Why the tap failed, as somebody claims it.
    Cause {
        Unknown = 1, "unknown", "onbekend", "Unknown";
        ReaderFault = 2, "reader-fault", "kaartlezer defect", "Broken reader";
        SystemOutage = 3, "system-outage", "storing", "Outage";
        CardUnreadable = 4, "card-unreadable", "kaart onleesbaar", "Unreadable card";
        CardExpired = 5, "card-expired", "kaart verlopen", "Expired card";
        CardBlocked = 6, "card-blocked", "kaart geblokkeerd", "Blocked card";
        InsufficientBalance = 7, "insufficient-balance", "saldo te laag", "Balance too low";
        ProductNotLoaded = 8, "product-not-loaded", "product niet opgehaald", "Product not collected";
        ProductNotValid = 9, "product-not-valid", "geen geldig product", "Product not valid";
        AlreadyCheckedIn = 10, "already-checked-in", "al ingecheckt", "Already checked in";
        WrongOperator = 11, "wrong-operator", "verkeerde vervoerder", "Wrong operator's reader";
        CardClash = 12, "card-clash", "meerdere passen", "Several cards at once";
        ReadInterrupted = 13, "read-interrupted", "te kort voorgehouden", "Taken away too soon";
        BarcodeRejected = 14, "barcode-rejected", "barcode geweigerd", "Barcode refused";
    }
}

taxonomy! {
    /// Whose word a cause is.
    ClaimSource {
        Traveller = 1, "traveller", "reiziger denkt", "Traveller's belief";
        Staff = 2, "staff", "personeel zei", "Said by staff";
        Display = 3, "display", "stond op het scherm", "Shown on the display";
        Inferred = 4, "inferred", "afgeleid", "Inferred";
        OperatorConfirmed = 5, "operator-confirmed", "bevestigd door de vervoerder", "Confirmed by the operator";
    }
}

taxonomy! {
    /// What was held to the reader.
    CardKind {
        Personal = 1, "personal", "persoonlijke OV-chipkaart", "Personal card";
        Anonymous = 2, "anonymous", "anonieme OV-chipkaart", "Anonymous card";
        Student = 3, "student", "studentenreisproduct", "Student card";
        Business = 4, "business", "zakelijke kaart", "Business card";
        SeasonTicket = 5, "season-ticket", "abonnement", "Season ticket";
        Disposable = 6, "disposable", "wegwerpkaart", "Disposable card";
        OvPas = 7, "ov-pas", "OV-pas", "OV-pas";
        OvPasDigital = 8, "ov-pas-digital", "digitale OV-pas", "Digital OV-pas";
        BankCard = 9, "bank-card", "betaalpas", "Bank card";
        PhoneOrWatch = 10, "phone-or-watch", "telefoon of horloge", "Phone or watch";
        BarcodeTicket = 11, "barcode-ticket", "e-ticket of barcode", "Barcode ticket";
        Unknown = 12, "unknown", "weet niet", "Unknown";
    }
}

taxonomy! {
    /// What a member of staff did.
    StaffAct {
        LetRideFree = 1, "let-ride-free", "liet gratis meerijden", "Let ride free";
        WaitedOrHelped = 2, "waited-or-helped", "wachtte of hielp", "Waited or helped";
        Sympathised = 3, "sympathised", "leefde mee", "Sympathised";
        KnewTheProblem = 4, "knew-the-problem", "kende het probleem", "Knew the problem";
        LetTryAgain = 5, "let-try-again", "liet opnieuw proberen", "Let try again";
        PromisedToCallBack = 6, "promised-to-call-back", "beloofde terug te bellen", "Promised to call back";
        AskedForFeedback = 7, "asked-for-feedback", "vroeg om een oordeel", "Asked for feedback";
        CouldNotHelp = 8, "could-not-help", "kon niet helpen", "Could not help";
        Referred = 9, "referred", "verwees door", "Referred elsewhere";
        CalledBack = 10, "called-back", "belde later terug", "Called back later";
    }
}

taxonomy! {
    /// Whether staff were there.
    StaffPresence {
        Yes = 1, "yes", "ja", "Yes";
        No = 2, "no", "nee", "No";
        NotSeen = 3, "not-seen", "niet gezien", "Not seen";
    }
}

taxonomy! {
    /// How many minutes a member of staff gave.
    StaffMinutes {
        None = 1, "0", "geen", "None";
        OneToFive = 2, "1-5", "1 tot 5", "1 to 5";
        SixToFifteen = 3, "6-15", "6 tot 15", "6 to 15";
        More = 4, "more", "meer", "More";
    }
}

taxonomy! {
    /// How it ended for the traveller.
    Outcome {
        FreeRide = 1, "free-ride", "reed gratis mee", "Rode free";
        PaidAgain = 2, "paid-again", "betaalde opnieuw", "Paid again";
        Surcharged = 3, "surcharged", "kreeg een boete", "Was surcharged";
        Refused = 4, "refused", "mocht niet mee", "Was refused";
        MissedRide = 5, "missed-ride", "miste de rit", "Missed the ride";
        TravelledOn = 6, "travelled-on", "reisde verder", "Travelled on";
    }
}

taxonomy! {
    /// What it cost the traveller on top of the fare, in euro.
    ExtraCost {
        Nothing = 1, "0", "niets", "Nothing";
        Under5 = 2, "under-5", "minder dan 5 euro", "Under 5 euro";
        From5To20 = 3, "5-20", "5 tot 20 euro", "5 to 20 euro";
        From20To70 = 4, "20-70", "20 tot 70 euro", "20 to 70 euro";
        Over70 = 5, "over-70", "meer dan 70 euro", "Over 70 euro";
    }
}

taxonomy! {
    /// Whether other travellers got through at the same reader.
    OthersGotThrough {
        Yes = 1, "yes", "ja", "Yes";
        No = 2, "no", "nee", "No";
        NotSeen = 3, "not-seen", "niet gezien", "Not seen";
    }
}

taxonomy! {
    /// Whether the same card worked elsewhere or later.
    WorkedLater {
        SameReader = 1, "same-reader", "bij dezelfde lezer", "At the same reader";
        OtherReader = 2, "other-reader", "bij een andere lezer", "At another reader";
        No = 3, "no", "nee", "No";
        NotTried = 4, "not-tried", "niet geprobeerd", "Not tried";
    }
}

taxonomy! {
    /// Who reports.
    ReporterKind {
        Traveller = 1, "traveller", "reiziger", "Traveller";
        Staff = 2, "staff", "personeel", "Staff";
        Device = 3, "device", "apparaat", "Device";
    }
}

taxonomy! {
    /// How finely the time is known.
    TimePrecision {
        Exact = 1, "exact", "precies", "Exact";
        Hour = 2, "hour", "het uur", "The hour";
        Day = 3, "day", "de dag", "The day";
    }
}

taxonomy! {
    /// How what a reporter wrote was matched to the network.
    Resolution {
        Exact = 1, "exact", "precies", "Exact";
        UniqueMatch = 2, "unique-match", "eenduidig", "Unique match";
        Ambiguous = 3, "ambiguous", "meerduidig", "Ambiguous";
        Unresolved = 4, "unresolved", "niet gevonden", "Unresolved";
    }
}

taxonomy! {
    /// Whether staff who promised to call back did so.
    CalledBack {
        Yes = 1, "yes", "ja", "Yes";
        No = 2, "no", "nee", "No";
    }
}

taxonomy! {
    /// What an operator says about a report.
    CaseState {
        Received = 1, "received", "ontvangen", "Received";
        Investigating = 2, "investigating", "in onderzoek", "Investigating";
        Repaired = 3, "repaired", "hersteld", "Repaired";
        ClosedUnfixed = 4, "closed-unfixed", "gesloten zonder herstel", "Closed without repair";
        Disputed = 5, "disputed", "betwist", "Disputed";
    }
}

taxonomy! {
    /// Why an operator closes a report without a repair.
    ClosedReason {
        NoFaultFound = 1, "no-fault-found", "geen storing gevonden", "No fault found";
        NotOurs = 2, "not-ours", "niet van ons", "Not ours";
        CardNotReader = 3, "card-not-reader", "lag aan de kaart", "The card, not the reader";
        TooLittleTold = 4, "too-little-told", "te weinig verteld", "Too little told";
        ReplacementPlanned = 5, "replacement-planned", "vervanging gepland", "Replacement planned";
    }
}

/// A set of values of one taxonomy, as bits: bit n is the value with number n.
pub struct SetOf<T> {
    bits: u16,
    of: std::marker::PhantomData<T>,
}

impl<T> Clone for SetOf<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SetOf<T> {}

impl<T> PartialEq for SetOf<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T> Eq for SetOf<T> {}

impl<T> std::hash::Hash for SetOf<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl<T> Default for SetOf<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T: Taxonomy> fmt::Debug for SetOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T> SetOf<T> {
    /// The empty set.
    pub const EMPTY: Self = Self {
        bits: 0,
        of: std::marker::PhantomData,
    };

    /// The bits as stored.
    pub const fn bits(self) -> u16 {
        self.bits
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

impl<T: Taxonomy> SetOf<T> {
    /// The set with these stored bits; bits of no value are dropped.
    pub fn from_bits(bits: u16) -> Self {
        T::ALL
            .iter()
            .copied()
            .filter(|value| bits & bit(*value) != 0)
            .collect()
    }

    /// Whether the value is in it.
    pub fn contains(self, value: T) -> bool {
        self.bits & bit(value) != 0
    }

    /// Adds a value; says whether it is new.
    pub fn insert(&mut self, value: T) -> bool {
        let is_new = !self.contains(value);
        self.bits |= bit(value);
        is_new
    }

    /// The values, in the order of the taxonomy.
    pub fn iter(self) -> impl Iterator<Item = T> {
        T::ALL
            .iter()
            .copied()
            .filter(move |value| self.contains(*value))
    }
}

impl<T: Taxonomy> FromIterator<T> for SetOf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut set = Self::EMPTY;
        for value in values {
            set.insert(value);
        }
        set
    }
}

fn bit<T: Taxonomy>(value: T) -> u16 {
    1 << value.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Taxonomy>() {
        for (index, value) in T::ALL.iter().enumerate() {
            assert_eq!(
                T::from_number(value.number()),
                Some(*value),
                "{} {value:?}",
                T::NAME
            );
            assert_eq!(
                T::from_key(value.key()),
                Some(*value),
                "{} {value:?}",
                T::NAME
            );
            assert!(
                value.number() < 16,
                "{} {value:?} does not fit a set",
                T::NAME
            );
            let later = &T::ALL[index + 1..];
            assert!(
                later
                    .iter()
                    .all(|other| other.label_nl() != value.label_nl())
            );
            assert!(
                later
                    .iter()
                    .all(|other| other.label_en() != value.label_en())
            );
        }
        assert_eq!(T::from_number(0), None);
    }

    #[test]
    fn numbers_keys_and_labels_tell_the_values_apart() {
        check::<Mode>();
        check::<TapKind>();
        check::<ReaderKind>();
        check::<Signal>();
        check::<Cause>();
        check::<ClaimSource>();
        check::<CardKind>();
        check::<StaffAct>();
        check::<StaffPresence>();
        check::<StaffMinutes>();
        check::<Outcome>();
        check::<ExtraCost>();
        check::<OthersGotThrough>();
        check::<WorkedLater>();
        check::<ReporterKind>();
        check::<TimePrecision>();
        check::<Resolution>();
        check::<CalledBack>();
        check::<CaseState>();
        check::<ClosedReason>();
    }

    #[test]
    fn set_keeps_what_was_put_in_and_drops_unknown_bits() {
        let set: SetOf<StaffAct> = [StaffAct::LetRideFree, StaffAct::CalledBack]
            .into_iter()
            .collect();
        assert_eq!(SetOf::<StaffAct>::from_bits(set.bits() | 1), set);
        assert_eq!(set.iter().count(), 2);
    }
}
