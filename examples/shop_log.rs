//! Writes the event log of an imaginary shop, of any size: input for demos, tests and measurements.
//!
//! ```text
//! cargo run --release --example shop_log -- --events 1000000 --out shop.ndjson
//! cargo run --release --example shop_log -- --events 24000 --files a.ndjson=3000,b.ndjson.gz,c.ndjson.zst
//! ```
//!
//! The same arguments give the same bytes everywhere: there is no clock in it, and the random numbers are its own.
//! Streams are interleaved as in a real shop (thousands of orders are open at once), versions are contiguous in
//! each stream from 1, positions are contiguous over the log, and an event is about 268 bytes long.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: shop_log --events N [--seed S] (--out FILE | --files FILE[=EVENTS],...)

  --events N   how many events
  --seed S     another seed gives another log [default: 1]
  --out FILE   `-` is stdout; .gz and .zst are compressed
  --files ...  the log in several files, in log order; a file without =EVENTS takes an even share of the rest
";

/// A compressed file gets a new gzip member or zstd frame after this many bytes, as log shippers do.
const MEMBER_BYTES: usize = 1 << 20;
/// The log covers this time, however many events it has.
const SPAN_MS: u64 = 366 * 86_400_000;
/// 2024-01-01T00:00:00Z
const START_MS: u64 = 1_704_067_200_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let (mut events, mut seed, mut files) = (None, 1u64, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--help" || arg == "-h" {
            print!("{USAGE}");
            return Ok(());
        }
        let value = args.next().ok_or_else(|| format!("`{arg}` needs a value\n{USAGE}"))?;
        let number = || value.replace('_', "").parse::<u64>().map_err(|_| format!("`{arg} {value}`: not a number"));
        match arg.as_str() {
            "--events" => events = Some(number()?),
            "--seed" => seed = number()?,
            "--out" => files = vec![(value, None)],
            "--files" => files = value.split(',').map(parse_file).collect::<Result<_, _>>()?,
            _ => return Err(format!("`{arg}` is not an option\n{USAGE}")),
        }
    }
    let events = events.ok_or_else(|| format!("`--events` is missing\n{USAGE}"))?;
    if files.is_empty() {
        return Err(format!("`--out` or `--files` is missing\n{USAGE}"));
    }

    let mut shop = Shop::new(events, seed);
    for (name, count) in share(events, &files)? {
        write_file(&mut shop, &name, count).map_err(|e| format!("cannot write {name}: {e}"))?;
    }
    Ok(())
}

/// `NAME` or `NAME=EVENTS`.
fn parse_file(arg: &str) -> Result<(String, Option<u64>), String> {
    match arg.rsplit_once('=') {
        None => Ok((arg.to_string(), None)),
        Some((name, count)) => Ok((name.to_string(), Some(count.parse().map_err(|_| format!("`{arg}`: not a number of events"))?))),
    }
}

/// How many events each file gets: what it asks for, or an even share of what is left.
fn share(events: u64, files: &[(String, Option<u64>)]) -> Result<Vec<(String, u64)>, String> {
    let fixed: u64 = files.iter().filter_map(|f| f.1).sum();
    let mut open = files.iter().filter(|f| f.1.is_none()).count() as u64;
    let mut rest = events.checked_sub(fixed).ok_or_else(|| format!("the files ask for {fixed} events, the log has {events}"))?;
    if open == 0 && rest > 0 {
        return Err(format!("the files ask for {fixed} events, the log has {events}"));
    }
    let mut shares = Vec::new();
    for (name, count) in files {
        let count = count.unwrap_or_else(|| {
            let part = rest / open;
            open -= 1;
            rest -= part;
            part
        });
        shares.push((name.clone(), count));
    }
    Ok(shares)
}

fn write_file(shop: &mut Shop, name: &str, events: u64) -> io::Result<()> {
    if name == "-" {
        return write_events(shop, events, &mut io::stdout().lock());
    }
    let file = File::create(name)?;
    match Path::new(name).extension().and_then(|e| e.to_str()) {
        Some("gz") => write_events(shop, events, &mut Gzip { out: BufWriter::new(file) }),
        Some("zst") => write_events(shop, events, &mut Zstd { out: BufWriter::new(file) }),
        _ => write_events(shop, events, &mut { file }),
    }
}

/// Hands over whole events, about [`MEMBER_BYTES`] at a time.
fn write_events(shop: &mut Shop, events: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(MEMBER_BYTES + 1024);
    for _ in 0..events {
        shop.next_event(&mut buffer);
        if buffer.len() >= MEMBER_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)?;
    out.flush()
}

/// Each write becomes one gzip member.
struct Gzip<W: Write> {
    out: W,
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            // The level is part of the fixtures' bytes.
            let mut member = flate2::write::GzEncoder::new(&mut self.out, flate2::Compression::new(9));
            member.write_all(bytes)?;
            member.finish()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Each write becomes one zstd frame with a checksum.
struct Zstd<W: Write> {
    out: W,
}

impl<W: Write> Write for Zstd<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let mut frame = zstd::Encoder::new(&mut self.out, 19)?;
            frame.include_checksum(true)?;
            frame.write_all(bytes)?;
            frame.finish()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): eight lines, good enough, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (Lemire's multiplication; its bias is of no matter here).
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

/// Written as they stand in JSON: some need escapes, some are not ASCII.
const FIRST_NAMES: [&str; 16] = [
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
const LAST_NAMES: [&str; 16] = [
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
const COUNTRIES: [&str; 12] = ["AT", "BR", "DE", "ES", "FR", "GB", "JP", "KR", "NG", "PL", "PT", "SE"];
const CURRENCIES: [&str; 4] = ["EUR", "EUR", "EUR", "GBP"];
const METHODS: [&str; 4] = ["card", "transfer", "invoice", "wallet"];
const CARRIERS: [&str; 4] = ["DHL", "DPD", "Correos", "PostNord"];
const REASONS: [&str; 3] = ["customer request", "out of stock", "payment failed"];
const CHANNELS: [&str; 4] = ["web", "web", "mobile", "store"];
const ADJECTIVES: [&str; 8] = ["Plain", "Sturdy", "Small", "Large", "Folding", "Woollen", "Steel", "Oak"];
const NOUNS: [&str; 8] = ["chair", "lamp", "table", "blanket", "shelf", "kettle", "mirror", "basket"];

/// What the shop remembers: as little as it takes to go on.
struct Shop {
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
    fn new(events: u64, seed: u64) -> Self {
        Shop {
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
        }
    }

    /// Appends the next event of the log, with its line break.
    fn next_event(&mut self, out: &mut Vec<u8>) {
        self.position += 1;
        self.time_rest += self.random.below(2 * self.step + 1);
        self.time_ms += self.time_rest >> 10;
        self.time_rest &= 1023;

        match self.random.below(1000) {
            _ if self.customers.len() < 3 => self.register_customer(out),
            _ if self.products.len() < 5 => self.add_product(out),
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
        self.open.push(Order { number, version: 1, items_left, paid: false, correlation });
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
        text(out, ",\"metadata\":{\"correlation_id\":\"");
        hex(out, correlation, 16);
        text(out, "\",\"channel\":\"");
        // The channel goes with the correlation, as one visit uses one channel.
        text(out, CHANNELS[(correlation % 4) as usize]);
        text(out, "\"}}\n");
    }
}

/// The calendar date, computed anew only when the day changes.
#[derive(Default)]
struct Date {
    day: u64,
    text: [u8; 10],
}

impl Date {
    /// `2024-05-01T12:34:56.789Z`
    fn write(&mut self, out: &mut Vec<u8>, time_ms: u64) {
        let (day, rest) = (time_ms / 86_400_000, time_ms % 86_400_000);
        if day != self.day {
            self.day = day;
            let (year, month, day) = civil(day);
            let mut buffer = Vec::with_capacity(10);
            padded(&mut buffer, year, 4);
            buffer.push(b'-');
            padded(&mut buffer, month, 2);
            buffer.push(b'-');
            padded(&mut buffer, day, 2);
            self.text.copy_from_slice(&buffer);
        }
        out.extend_from_slice(&self.text);
        out.push(b'T');
        padded(out, rest / 3_600_000, 2);
        out.push(b':');
        padded(out, rest / 60_000 % 60, 2);
        out.push(b':');
        padded(out, rest / 1000 % 60, 2);
        out.push(b'.');
        padded(out, rest % 1000, 3);
        out.push(b'Z');
    }
}

/// Days since 1970-01-01 to year, month, day (Howard Hinnant's `civil_from_days`, for days after 1970 only).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    padded(out, number, 1);
}

/// The number with at least `digits` digits (one, if 0).
fn padded(out: &mut Vec<u8>, mut number: u64, digits: usize) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    while number > 0 {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&buffer[at.min(buffer.len() - digits.max(1))..]);
}

/// Cents as a decimal number: `1250` as `12.50`.
fn money(out: &mut Vec<u8>, cents: u32) {
    decimal(out, u64::from(cents / 100));
    out.push(b'.');
    padded(out, u64::from(cents % 100), 2);
}

/// The lowest `digits` hexadecimal digits.
fn hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * i) & 15) as usize]);
    }
}
