//! The shop: what it remembers, and its next event.

use super::text::{Date, Random, decimal, hex, money, padded, text};
use super::words::{ADJECTIVES, CARRIERS, CHANNELS, COUNTRIES, CURRENCIES, FIRST_NAMES, LAST_NAMES, METHODS, NOTE_WORDS, NOUNS, REASONS};

/// The log covers this time, however many events it has.
const SPAN_MS: u64 = 366 * 86_400_000;
/// 2024-01-01T00:00:00Z
const START_MS: u64 = 1_704_067_200_000;
/// Types of events that no read model of the shop handles.
const OTHER_TYPES: u64 = 200;
const VISITS_OPEN: u64 = 1000;
const NOTE_BYTES: usize = 2048;

/// What is special about a log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// A fifth of the events are in one stream.
    Skew,
    /// Every payload has a long text.
    Wide,
    /// Four fifths of the events are of types that nobody handles.
    Unhandled,
    /// Every event begins a stream.
    Brief,
}

/// What the shop remembers: as little as it takes to go on.
pub struct Shop {
    kind: Kind,
    random: Random,
    position: u64,
    /// Milliseconds since 1970.
    time_ms: u64,
    /// Time between two events lies between 0 and twice this; in 1/1024 ms.
    step: u64,
    time_rest: u64,
    date: Date,
    /// Last version of each customer's stream.
    customers: Vec<u32>,
    products: Vec<Product>,
    products_max: usize,
    orders: u64,
    open: Vec<Order>,
    open_max: usize,
    /// The order that is never paid, of a log that is skewed.
    standing: Option<Order>,
    visits: Vec<Visit>,
    visits_begun: u64,
    /// Texts for wide payloads, as they stand in JSON.
    notes: Vec<String>,
}

/// A stream of events that nobody handles.
struct Visit {
    number: u64,
    version: u32,
}

struct Product {
    version: u32,
    price_cents: u32,
}

struct Order {
    number: u64,
    version: u32,
    items_left: u8,
    paid: bool,
    correlation: u64,
}

impl Shop {
    pub fn new(events: u64, seed: u64, kind: Kind) -> Self {
        let notes = if kind == Kind::Wide { (0..64).map(|i| note(&mut Random(seed ^ i))).collect() } else { Vec::new() };
        Shop {
            kind,
            random: Random(seed),
            position: 0,
            time_ms: START_MS,
            step: SPAN_MS * 1024 / events.max(1),
            time_rest: 0,
            date: Date::default(),
            customers: Vec::new(),
            products: Vec::new(),
            products_max: (events / 120).clamp(10, 10_000) as usize,
            orders: 0,
            open: Vec::new(),
            open_max: (events / 10).clamp(8, 4_000) as usize,
            standing: None,
            visits: Vec::new(),
            visits_begun: 0,
            notes,
        }
    }

    /// Appends the next event of the log, with its line break.
    pub fn next_event(&mut self, out: &mut Vec<u8>) {
        self.position += 1;
        self.time_rest += self.random.below(2 * self.step + 1);
        self.time_ms += self.time_rest >> 10;
        self.time_rest &= 1023;

        match self.random.below(1000) {
            _ if self.customers.len() < 3 => self.register_customer(out),
            _ if self.products.len() < 5 => self.add_product(out),
            _ if self.kind == Kind::Brief => self.place_order(out),
            dice if self.kind == Kind::Skew && dice % 5 == 0 => self.extend_standing_order(out),
            dice if self.kind == Kind::Unhandled && dice % 5 != 0 => self.visit(out),
            0..40 => self.register_customer(out),
            40..48 => self.move_customer(out),
            48..68 if self.products.len() < self.products_max => self.add_product(out),
            68..78 => self.change_price(out),
            dice if self.open.is_empty() || (self.open.len() < self.open_max && dice % 3 == 0) => self.place_order(out),
            _ => self.advance_order(out),
        }
    }

    fn register_customer(&mut self, out: &mut Vec<u8>) {
        self.customers.push(1);
        let number = self.customers.len() as u64;
        let correlation = self.random.next();
        self.begin(out, "customer-", number, 0, "CustomerRegistered", 1);
        let (first, last) = (self.random.pick(&FIRST_NAMES), self.random.pick(&LAST_NAMES));
        text(out, "{\"name\":\"");
        text(out, first);
        out.push(b' ');
        text(out, last);
        text(out, "\",\"email\":\"customer.");
        decimal(out, number);
        text(out, "@example.com\",\"country\":\"");
        text(out, self.random.pick(&COUNTRIES));
        text(out, "\"}");
        self.end(out, correlation);
    }

    fn move_customer(&mut self, out: &mut Vec<u8>) {
        let at = self.random.below(self.customers.len() as u64) as usize;
        self.customers[at] += 1;
        let correlation = self.random.next();
        self.begin(out, "customer-", at as u64 + 1, 0, "CustomerMoved", self.customers[at]);
        text(out, "{\"country\":\"");
        text(out, self.random.pick(&COUNTRIES));
        text(out, "\"}");
        self.end(out, correlation);
    }

    fn add_product(&mut self, out: &mut Vec<u8>) {
        let price_cents = 100 + self.random.below(20_000) as u32;
        self.products.push(Product { version: 1, price_cents });
        let number = self.products.len() as u64;
        let correlation = self.random.next();
        self.begin(out, "product-SKU-", number, 5, "ProductAdded", 1);
        text(out, "{\"sku\":\"SKU-");
        padded(out, number, 5);
        text(out, "\",\"name\":\"");
        text(out, self.random.pick(&ADJECTIVES));
        out.push(b' ');
        text(out, self.random.pick(&NOUNS));
        text(out, "\",\"price\":");
        money(out, price_cents);
        out.push(b'}');
        self.end(out, correlation);
    }

    fn change_price(&mut self, out: &mut Vec<u8>) {
        let at = self.random.below(self.products.len() as u64) as usize;
        let percent = 80 + self.random.below(45) as u32;
        let product = &mut self.products[at];
        product.version += 1;
        product.price_cents = (product.price_cents * percent / 100).clamp(50, 99_999);
        let (version, price_cents) = (product.version, product.price_cents);
        let correlation = self.random.next();
        self.begin(out, "product-SKU-", at as u64 + 1, 5, "PriceChanged", version);
        text(out, "{\"price\":");
        money(out, price_cents);
        out.push(b'}');
        self.end(out, correlation);
    }

    fn place_order(&mut self, out: &mut Vec<u8>) {
        self.orders += 1;
        let number = self.orders;
        let correlation = self.random.next();
        let items_left = 1 + self.random.below(5) as u8;
        if self.kind != Kind::Brief {
            self.open.push(Order { number, version: 1, items_left, paid: false, correlation });
        }
        self.begin(out, "order-", number, 0, "OrderPlaced", 1);
        text(out, "{\"customer_id\":\"");
        decimal(out, 1 + self.random.below(self.customers.len() as u64));
        text(out, "\",\"currency\":\"");
        text(out, self.random.pick(&CURRENCIES));
        text(out, "\"}");
        self.end(out, correlation);
    }

    /// One step of some open order: an item, the payment, the parcel, or its end.
    fn advance_order(&mut self, out: &mut Vec<u8>) {
        let at = self.random.below(self.open.len() as u64) as usize;
        let cancelled = self.random.below(100) < 2;
        let order = &mut self.open[at];
        order.version += 1;
        let (number, version, correlation) = (order.number, order.version, order.correlation);
        if cancelled {
            self.open.swap_remove(at);
            self.begin(out, "order-", number, 0, "OrderCancelled", version);
            text(out, "{\"reason\":\"");
            text(out, self.random.pick(&REASONS));
            text(out, "\"}");
        } else if order.items_left > 0 {
            order.items_left -= 1;
            self.begin(out, "order-", number, 0, "ItemAdded", version);
            self.item(out);
        } else if !order.paid {
            order.paid = true;
            self.begin(out, "order-", number, 0, "OrderPaid", version);
            text(out, "{\"method\":\"");
            text(out, self.random.pick(&METHODS));
            text(out, "\"}");
        } else {
            self.open.swap_remove(at);
            self.begin(out, "order-", number, 0, "OrderShipped", version);
            text(out, "{\"carrier\":\"");
            text(out, self.random.pick(&CARRIERS));
            text(out, "\"}");
        }
        self.end(out, correlation);
    }

    /// The payload of an item.
    fn item(&mut self, out: &mut Vec<u8>) {
        // Some products sell much better than others: the lesser of two draws.
        let count = self.products.len() as u64;
        let product = self.random.below(count).min(self.random.below(count));
        text(out, "{\"sku\":\"SKU-");
        padded(out, product + 1, 5);
        text(out, "\",\"qty\":");
        decimal(out, 1 + self.random.below(4));
        text(out, ",\"price\":");
        money(out, self.products[product as usize].price_cents);
        out.push(b'}');
    }

    /// The order that gets ever more items.
    fn extend_standing_order(&mut self, out: &mut Vec<u8>) {
        let Some(order) = &mut self.standing else {
            self.place_order(out);
            self.standing = self.open.pop();
            return;
        };
        order.version += 1;
        let (number, version, correlation) = (order.number, order.version, order.correlation);
        self.begin(out, "order-", number, 0, "ItemAdded", version);
        self.item(out);
        self.end(out, correlation);
    }

    /// A step of one of many visits to the shop's pages.
    fn visit(&mut self, out: &mut Vec<u8>) {
        let at = self.random.below(VISITS_OPEN) as usize;
        if self.visits.len() <= at || self.visits[at].version == 50 {
            self.visits_begun += 1;
            let visit = Visit { number: self.visits_begun, version: 0 };
            if self.visits.len() <= at { self.visits.push(visit) } else { self.visits[at] = visit }
        }
        let at = at.min(self.visits.len() - 1);
        self.visits[at].version += 1;
        let (number, version) = (self.visits[at].number, self.visits[at].version);
        let (page, correlation) = (self.random.below(OTHER_TYPES), self.random.next());
        let event_type = format!("Page{page:03}Viewed");
        self.begin(out, "visit-", number, 0, &event_type, version);
        text(out, "{\"page\":\"/products/");
        decimal(out, page);
        text(out, "\",\"seconds\":");
        decimal(out, self.random.below(600));
        text(out, ",\"seen\":[");
        decimal(out, self.random.below(10_000));
        out.push(b',');
        decimal(out, self.random.below(10_000));
        text(out, "],\"agent\":{\"name\":\"browser\",\"touch\":false}}");
        self.end(out, correlation);
    }

    /// The envelope up to `"data":`.
    fn begin(&mut self, out: &mut Vec<u8>, category: &str, number: u64, digits: usize, event_type: &str, version: u32) {
        text(out, "{\"stream_id\":\"");
        text(out, category);
        padded(out, number, digits);
        text(out, "\",\"type\":\"");
        text(out, event_type);
        text(out, "\",\"version\":");
        decimal(out, u64::from(version));
        text(out, ",\"position\":");
        decimal(out, self.position);
        text(out, ",\"time\":\"");
        self.date.write(out, self.time_ms);
        text(out, "\",\"id\":\"");
        // A UUID of version 7: 48 bits of time, the rest random.
        let (high, low) = (self.time_ms, self.random.next());
        hex(out, high >> 16, 8);
        out.push(b'-');
        hex(out, high & 0xffff, 4);
        text(out, "-7");
        hex(out, low >> 52, 3);
        text(out, "-8");
        hex(out, low >> 40, 3);
        out.push(b'-');
        hex(out, low.rotate_left(11), 12);
        text(out, "\",\"data\":");
    }

    /// The envelope from `"metadata":` on.
    fn end(&mut self, out: &mut Vec<u8>, correlation: u64) {
        if self.kind == Kind::Wide {
            out.pop();
            text(out, ",\"note\":\"");
            text(out, &self.notes[(correlation % 64) as usize]);
            text(out, "\"}");
        }
        text(out, ",\"metadata\":{\"correlation_id\":\"");
        hex(out, correlation, 16);
        text(out, "\",\"channel\":\"");
        // The channel goes with the correlation, as one visit uses one channel.
        text(out, CHANNELS[(correlation % 4) as usize]);
        text(out, "\"}}\n");
    }
}

/// Some words, with an escape here and there.
fn note(random: &mut Random) -> String {
    let mut note = String::new();
    while note.len() < NOTE_BYTES {
        note.push_str(random.pick(&NOTE_WORDS));
    }
    note
}
