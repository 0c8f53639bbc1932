-- The service's tables and the shop's data. Running it again changes nothing.

CREATE TABLE IF NOT EXISTS sessions (
    id          uuid PRIMARY KEY,
    user_id     text NOT NULL,
    turns       integer NOT NULL DEFAULT 0,   -- turns that are stored
    busy_until  timestamptz,                  -- a turn is running, unless its process died
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS messages (
    session_id  uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    turn        integer NOT NULL,
    position    integer NOT NULL,
    message     json NOT NULL,                -- as the model's API takes it
    PRIMARY KEY (session_id, turn, position)
);

CREATE TABLE IF NOT EXISTS customers (
    email  text PRIMARY KEY,
    name   text NOT NULL,
    plan   text NOT NULL,
    since  date NOT NULL
);

CREATE TABLE IF NOT EXISTS orders (
    id              text PRIMARY KEY,
    customer_email  text NOT NULL REFERENCES customers,
    item            text NOT NULL,
    status          text NOT NULL,
    total_cents     integer NOT NULL,
    ordered_on      date NOT NULL,
    arrives_on      date NOT NULL
);

CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer_email, ordered_on DESC);

CREATE TABLE IF NOT EXISTS help_articles (
    title  text PRIMARY KEY,
    body   text NOT NULL,
    terms  tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', title || ' ' || body)) STORED
);

CREATE INDEX IF NOT EXISTS help_articles_by_terms ON help_articles USING gin (terms);

INSERT INTO customers (email, name, plan, since) VALUES
    ('customer@example.com', 'Noor Haddad', 'team', '2024-03-04'),
    ('test@example.com', 'Tomas Ek', 'basic', '2025-06-19'),
    ('ines@example.com', 'Ines Prado', 'premium', '2023-11-02'),
    ('kofi@example.com', 'Kofi Mensah', 'enterprise', '2022-01-25'),
    ('mei@example.com', 'Mei Tanaka', 'team', '2025-09-30')
ON CONFLICT DO NOTHING;

-- Orders 12300 to 12399, the same on every machine.
INSERT INTO orders (id, customer_email, item, status, total_cents, ordered_on, arrives_on)
SELECT n::text,
       (ARRAY['customer@example.com', 'test@example.com', 'ines@example.com', 'kofi@example.com',
              'mei@example.com'])[1 + n % 5],
       (ARRAY['desk lamp', 'monitor, 27 inch', 'office chair, size M', 'webcam', 'label printer',
              'standing desk', 'headset'])[1 + n % 7],
       (ARRAY['in preparation', 'shipped', 'delivered', 'delayed by the carrier'])[1 + n % 4],
       1900 + n % 7 * 7300,
       DATE '2026-01-05' + n % 60,
       DATE '2026-01-05' + n % 60 + 4 + n % 4
FROM generate_series(12300, 12399) AS n
ON CONFLICT DO NOTHING;

INSERT INTO help_articles (title, body) VALUES
    ('Opening hours', 'Our support team answers from Monday to Friday, 8:00 to 20:00 Central European Time. At weekends and on public holidays we read urgent messages only, from 10:00 to 16:00. The web shop itself never closes.'),
    ('Weekend support', 'Customers with a premium or an enterprise plan reach a person at the weekend too, on Saturday and Sunday from 10:00 to 16:00. Other messages that arrive at the weekend are answered on Monday morning, oldest first.'),
    ('Talking to sales', 'Write to sales@example.com or ask for a call back in your account under Contact. A colleague from sales gets in touch within one business day, and shows you the product in a demo of half an hour if you like.'),
    ('Where is my order?', 'The status of an order is shown in your account under Orders, with the carrier''s tracking number once it has shipped. In preparation means that it has not left our warehouse and that its address can still be changed.'),
    ('Late deliveries', 'A parcel that is more than two working days late counts as delayed. We then ask the carrier, which takes a day. If the parcel cannot be found, we send a replacement at our expense or give your money back, as you prefer.'),
    ('Express delivery', 'Express orders that reach us before 14:00 leave the same day and arrive on the next working day. A replacement for a delayed or broken order is sent by express at no charge whenever the item is in stock.'),
    ('Combining orders', 'Two orders that are both in preparation can be sent in one parcel. The later date then holds for both, and the second delivery charge is refunded. Orders that have shipped cannot be combined any more.'),
    ('Changing an address', 'While an order is in preparation you can change its delivery address in your account or ask us to. A new address in your profile holds for future orders only; open orders keep the one they were placed with.'),
    ('Returns', 'You may return an item within 30 days of its arrival, also if the box was opened. Print the label in your account under Returns, put it on the parcel and hand it to the carrier. Damaged items are picked up at your door.'),
    ('Refunds', 'We refund the way you paid, within five working days of the return''s arrival at our warehouse. Bank transfers can take two days longer. You are told by e-mail when the refund has been made, with its amount.'),
    ('Exchanges', 'An item in the wrong size or colour can be exchanged once at no charge. The new item leaves when the carrier has scanned your return, so keep the receipt. If it is out of stock, we refund the price instead.'),
    ('Broken on arrival', 'Send us a photo of the damage within 14 days and keep the packaging. The carrier collects the item between 9:00 and 18:00 on a day you choose, and we pay for it. The replacement is on its way as soon as the photo is checked.'),
    ('Plans', 'There are four plans: basic for one person, team for up to 25, premium for up to 200, and enterprise for more. All include the catalogue and monthly invoices; premium adds weekend support, enterprise a contact person.'),
    ('Changing your plan', 'You can change your plan at any time in your account under Plan. A larger plan starts at once and is charged for the days that are left of the month; a smaller plan starts with the next month.'),
    ('Enterprise plan', 'The enterprise plan has single sign-on, an audit log, approval of orders by cost centre, a contact person and invoices by the quarter. It begins at 200 seats, and there are lower prices from 500 seats on.'),
    ('Prices by seats', 'Team costs 6 euros a seat and month, premium 11, enterprise 15. From 500 seats on enterprise costs 12. Who pays for a year at once pays for ten months. All prices are without value added tax.'),
    ('Integrations', 'Orders and invoices can be exchanged with Salesforce, HubSpot, SAP and DATEV, and with anything else through our REST interface and its webhooks. Integrations are part of the premium and the enterprise plan.'),
    ('Connecting Salesforce', 'In your account under Integrations choose Salesforce and sign in there as an administrator. Accounts and orders are matched by e-mail address, every 15 minutes. The connection can be cut at any time and leaves your data in place.'),
    ('Invoices', 'Invoices are sent by e-mail on the first working day of a month, as PDF and as XML. Older ones are in your account under Invoices for ten years. A wrong address on an invoice is corrected within two working days.'),
    ('Ways to pay', 'You can pay by card, by direct debit, by bank transfer and, with a premium or an enterprise plan, by invoice within 30 days. We do not keep card numbers; our payment provider does that for us.'),
    ('Signing in', 'If you forgot your password, choose Forgotten password on the sign-in page and follow the link in the e-mail, which is valid for one hour. After five wrong passwords an account is locked for 15 minutes.'),
    ('Your data', 'We keep orders and invoices as long as the law demands, and conversations with our support for one year. You can ask for a copy of all of it, or for its deletion, in your account under Privacy.'),
    ('Warranty', 'Everything we sell has a warranty of two years, chairs and desks of five. Write to us with the order number and a description of the fault. We repair or replace the item, and pay for the way there and back.'),
    ('Cancelling', 'An order can be cancelled free of charge while it is in preparation. After that please return it. A plan can be cancelled to the end of each month; what was paid in advance is refunded for the months that are left.')
ON CONFLICT DO NOTHING;
