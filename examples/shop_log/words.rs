//! What things and people are called in the shop.

/// Written as they stand in JSON: some need escapes, some are not ASCII.
pub const FIRST_NAMES: [&str; 16] = [
    "Anna",
    "Bo",
    "Chidi",
    "Dilnoza",
    "Eun-ji",
    "Farid",
    "Gra\u{17c}yna",
    "Hiroshi",
    "In\u{ea}s",
    "Jo\u{e3}o",
    "Kwame",
    "Lena",
    "Mar\\u00eda",
    "Noor",
    "Olu",
    "Zo\u{eb}",
];
pub const LAST_NAMES: [&str; 16] = [
    "Almeida",
    "Brandt",
    "Chen",
    "D'Souza",
    "Eriksson",
    "Fofanah",
    "G\u{f3}mez",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Larsen",
    "M\u{fc}ller",
    "\\\"Nita\\\" Costa",
    "Okafor",
    "\u{5c71}\u{7530}",
];
pub const COUNTRIES: [&str; 12] = ["AT", "BR", "DE", "ES", "FR", "GB", "JP", "KR", "NG", "PL", "PT", "SE"];
pub const CURRENCIES: [&str; 4] = ["EUR", "EUR", "EUR", "GBP"];
pub const METHODS: [&str; 4] = ["card", "transfer", "invoice", "wallet"];
pub const CARRIERS: [&str; 4] = ["DHL", "DPD", "Correos", "PostNord"];
pub const REASONS: [&str; 3] = ["customer request", "out of stock", "payment failed"];
pub const CHANNELS: [&str; 4] = ["web", "web", "mobile", "store"];
pub const ADJECTIVES: [&str; 8] = ["Plain", "Sturdy", "Small", "Large", "Folding", "Woollen", "Steel", "Oak"];
pub const NOUNS: [&str; 8] = ["chair", "lamp", "table", "blanket", "shelf", "kettle", "mirror", "basket"];
/// Of long texts, as they stand in JSON.
pub const NOTE_WORDS: [&str; 16] = [
    "the parcel ",
    "may be left ",
    "with a neighbour, ",
    "behind the door ",
    "or in the garage. ",
    "Please ring twice; ",
    "the bell is hard to hear. ",
    "\\n",
    "She said: \\\"not before noon\\\". ",
    "na\u{ef}ve ",
    "caf\u{e9} ",
    "invoice to follow ",
    "gift wrapping in blue ",
    "no substitute for anything ",
    "call ahead 0049 30 1234567 ",
    "thank you very much ",
];
