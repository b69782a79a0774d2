-- The demo's customers, orders and events. Secrets (ssn, card_number, email, phones.number) are unique and none is part of another, so that
-- a search for them in anything that left the gateway is exact. Zones are written out: the SQL engine reads a bare literal as Los Angeles time.
CREATE SCHEMA crm;

CREATE TABLE crm.customers (
  id INT64,
  name STRING,
  email STRING,
  ssn STRING,
  card_number STRING,
  address STRUCT<street STRING, city STRING, zip STRING>,
  phones ARRAY<STRUCT<kind STRING, number STRING>>,
  created TIMESTAMP
);

INSERT INTO crm.customers (id, name, email, ssn, card_number, address, phones, created) VALUES
  (1, 'Ada Abernathy', 'ada.abernathy11@fastmail.example', '605-30-3840', '4866201164104571', STRUCT('10 Alder Street', 'Lisbon', '10000'), [STRUCT('home', '+1-877-555-6352'), STRUCT('work', '+1-247-555-1994')], TIMESTAMP '2025-01-01 00:00:00.000000+00'),
  (2, 'Boris Blumenthal', 'boris.blumenthal12@posteo.example', '378-16-8719', '4379156685966082', STRUCT('13 Birch Street', 'Turku', '10317'), [STRUCT('home', '+1-725-555-9489')], TIMESTAMP '2025-02-08 01:13:29.104729+00'),
  (3, 'Chiara Castellanos', 'chiara.castellanos13@initech.example', '369-49-5898', '4056734067884238', STRUCT('16 Cedar Street', 'Graz', '10634'), [], TIMESTAMP '2025-03-15 02:26:58.209458+00'),
  (4, 'Dmitri Dragomir', 'dmitri.dragomir14@globex.example', '582-67-3811', '5024168352448563', STRUCT('19 Dogwood Street', 'Ghent', '10951'), [STRUCT('home', '+1-391-555-9848'), STRUCT('work', '+1-647-555-6051'), STRUCT('mobile', '+1-872-555-4447')], TIMESTAMP '2025-04-22 03:39:27.314187+00'),
  (5, 'Elif Eriksson', 'elif.eriksson15@fastmail.example', '118-61-4675', '4713105067337334', STRUCT('22 Elm Street', 'Porto', '11268'), [STRUCT('home', '+1-612-555-6479')], TIMESTAMP '2025-05-01 04:52:56.418916+00'),
  (6, 'Farouk Fitzwilliam', NULL, '366-87-6018', '5055535792856997', STRUCT('25 Fir Street', 'Aarhus', '11585'), [STRUCT('home', '+1-779-555-1715'), STRUCT('work', '+1-298-555-7692')], TIMESTAMP '2025-06-08 05:05:25.523645+00'),
  (7, 'Greta Grigorescu', 'greta.grigorescu17@initech.example', '615-98-2374', '5215358989651304', STRUCT('28 Ginkgo Street', 'Brno', '11902'), [], TIMESTAMP '2025-07-15 06:18:54.628374+00'),
  (8, 'Hiro Haverkamp', 'hiro.haverkamp18@globex.example', '297-96-5710', '4143699811663946', STRUCT('31 Hazel Street', 'Bergen', '12219'), [STRUCT('home', '+1-223-555-5759')], TIMESTAMP '2025-08-22 07:31:23.733103+00'),
  (9, 'Ingrid Ivanovich', 'ingrid.ivanovich19@fastmail.example', '524-80-3224', '4942782459374548', STRUCT('34 Alder Street', 'Lisbon', '12536'), [STRUCT('home', '+1-448-555-6310'), STRUCT('work', '+1-870-555-7488')], TIMESTAMP '2025-09-01 08:44:52.837832+00'),
  (10, 'Jamal Jankowski', 'jamal.jankowski20@posteo.example', NULL, '4436912312261615', STRUCT('37 Birch Street', 'Turku', '12853'), [STRUCT('home', '+1-943-555-4249')], TIMESTAMP '2025-10-08 09:57:21.942561+00'),
  (11, 'Katya Kowalczyk', 'katya.kowalczyk21@initech.example', '637-37-8337', '5210077827584007', STRUCT('40 Cedar Street', 'Graz', '13170'), [], TIMESTAMP '2025-11-15 10:10:50.047290+00'),
  (12, 'Lorenzo Lindqvist', 'lorenzo.lindqvist22@globex.example', '338-67-3765', '4662643660619154', STRUCT('43 Dogwood Street', 'Ghent', '13487'), [STRUCT('home', '+1-897-555-2946'), STRUCT('work', '+1-600-555-3511'), STRUCT('mobile', '+1-864-555-7601')], TIMESTAMP '2025-12-22 11:23:19.152019+00'),
  (13, 'Mei Montgomery', 'mei.montgomery23@fastmail.example', '476-30-9932', '5895747471200173', STRUCT('46 Elm Street', 'Porto', '13804'), [STRUCT('home', '+1-499-555-5687')], TIMESTAMP '2025-01-01 12:36:48.256748+00'),
  (14, 'Nadia Nakagawa', 'nadia.nakagawa24@posteo.example', '163-16-2053', NULL, STRUCT('49 Fir Street', 'Aarhus', '14121'), [STRUCT('home', '+1-832-555-8734'), STRUCT('work', '+1-514-555-3162')], TIMESTAMP '2025-02-08 13:49:17.361477+00'),
  (15, 'Oskar Oyelaran', 'oskar.oyelaran25@initech.example', '425-22-7297', '4991919385921493', STRUCT('52 Ginkgo Street', 'Brno', '14438'), [], TIMESTAMP '2025-03-15 14:02:46.466206+00'),
  (16, 'Priya Papadakis', 'priya.papadakis26@globex.example', '240-75-5882', '5200049767190030', STRUCT('55 Hazel Street', 'Bergen', '14755'), [STRUCT('home', '+1-247-555-8454')], TIMESTAMP '2025-04-22 15:15:15.570935+00'),
  (17, 'Quentin Quennell', 'quentin.quennell27@fastmail.example', '542-13-7372', '4270655843581923', STRUCT('58 Alder Street', 'Lisbon', '15072'), [STRUCT('home', '+1-301-555-6795'), STRUCT('work', '+1-578-555-9906')], TIMESTAMP '2025-05-01 16:28:44.675664+00'),
  (18, 'Rosa Rasmussen', 'rosa.rasmussen28@posteo.example', '121-31-4999', '5694003130795259', NULL, [STRUCT('home', '+1-405-555-9885')], TIMESTAMP '2025-06-08 17:41:13.780393+00'),
  (19, 'Sven Schellenberg', 'sven.schellenberg29@initech.example', '266-60-4986', '4719433658047433', STRUCT('64 Cedar Street', 'Graz', '15706'), [], TIMESTAMP '2025-07-15 18:54:42.885122+00'),
  (20, 'Tamsin Thorvaldsen', 'tamsin.thorvaldsen30@globex.example', '485-33-4620', '5568002105426000', STRUCT('67 Dogwood Street', 'Ghent', '16023'), [STRUCT('home', '+1-331-555-6668'), STRUCT('work', '+1-937-555-3872'), STRUCT('mobile', '+1-413-555-4895')], TIMESTAMP '2025-08-22 19:07:11.989851+00'),
  (21, 'Umar Underhill', 'umar.underhill31@fastmail.example', '285-33-4634', '5814096137813997', STRUCT('70 Elm Street', 'Porto', '16340'), [STRUCT('home', CAST(NULL AS STRING)), STRUCT('work', '+1-276-555-8154')], TIMESTAMP '2025-09-01 20:20:40.094580+00'),
  (22, 'Vera Vandermeer', 'vera.vandermeer32@posteo.example', '437-27-7632', '5646083968008776', STRUCT('73 Fir Street', 'Aarhus', '16657'), [STRUCT('home', '+1-947-555-5553'), STRUCT('work', '+1-659-555-7694')], TIMESTAMP '2025-10-08 21:33:09.199309+00'),
  (23, 'Wanda Wolstenholme', 'wanda.wolstenholme33@initech.example', '112-72-4500', '5639700481715921', STRUCT('76 Ginkgo Street', 'Brno', '16974'), [], NULL),
  (24, 'Ximena Yamamoto', 'ximena.yamamoto34@globex.example', '129-90-4468', '4308480281408612', STRUCT('79 Hazel Street', 'Bergen', '17291'), [STRUCT('home', '+1-465-555-2481')], TIMESTAMP '2025-12-22 23:59:07.408767+00');

CREATE TABLE crm.orders (
  id INT64,
  customer_id INT64,
  amount NUMERIC,
  status STRING,
  ordered TIMESTAMP
);

INSERT INTO crm.orders (id, customer_id, amount, status, ordered) VALUES
  (1001, 1, NUMERIC '15.00', 'paid', TIMESTAMP '2025-04-22 03:39:27.314187+00'),
  (1002, 6, NUMERIC '52.17', 'shipped', TIMESTAMP '2025-05-01 04:52:56.418916+00'),
  (1003, 11, NUMERIC '89.34', 'open', TIMESTAMP '2025-06-08 05:05:25.523645+00'),
  (1004, 16, NUMERIC '126.51', 'returned', TIMESTAMP '2025-07-15 06:18:54.628374+00'),
  (1005, 21, NUMERIC '163.68', 'cancelled', TIMESTAMP '2025-08-22 07:31:23.733103+00'),
  (1006, 2, NUMERIC '200.85', 'paid', TIMESTAMP '2025-09-01 08:44:52.837832+00'),
  (1007, 7, NUMERIC '237.02', 'shipped', TIMESTAMP '2025-10-08 09:57:21.942561+00'),
  (1008, 12, NUMERIC '274.19', 'open', TIMESTAMP '2025-11-15 10:10:50.047290+00'),
  (1009, 17, NUMERIC '311.36', 'returned', TIMESTAMP '2025-12-22 11:23:19.152019+00'),
  (1010, 22, NUMERIC '348.53', 'cancelled', TIMESTAMP '2025-01-01 12:36:48.256748+00'),
  (1011, 3, NUMERIC '385.70', 'paid', TIMESTAMP '2025-02-08 13:49:17.361477+00'),
  (1012, 8, NULL, 'shipped', TIMESTAMP '2025-03-15 14:02:46.466206+00'),
  (1013, 13, NUMERIC '459.04', 'open', TIMESTAMP '2025-04-22 15:15:15.570935+00'),
  (1014, 18, NUMERIC '496.21', 'returned', TIMESTAMP '2025-05-01 16:28:44.675664+00'),
  (1015, 23, NUMERIC '533.38', 'cancelled', TIMESTAMP '2025-06-08 17:41:13.780393+00'),
  (1016, 4, NUMERIC '570.55', 'paid', TIMESTAMP '2025-07-15 18:54:42.885122+00'),
  (1017, 9, NUMERIC '607.72', 'shipped', TIMESTAMP '2025-08-22 19:07:11.989851+00'),
  (1018, 14, NUMERIC '644.89', 'open', TIMESTAMP '2025-09-01 20:20:40.094580+00'),
  (1019, 19, NUMERIC '681.06', 'returned', TIMESTAMP '2025-10-08 21:33:09.199309+00'),
  (1020, 24, NUMERIC '718.23', 'cancelled', TIMESTAMP '2025-11-15 22:46:38.304038+00'),
  (1021, 5, NUMERIC '755.40', 'paid', TIMESTAMP '2025-12-22 23:59:07.408767+00'),
  (1022, 10, NUMERIC '792.57', 'shipped', TIMESTAMP '2025-01-01 00:12:36.513496+00'),
  (1023, 15, NUMERIC '829.74', 'open', TIMESTAMP '2025-02-08 01:25:05.618225+00'),
  (1024, 20, NUMERIC '866.91', 'returned', TIMESTAMP '2025-03-15 02:38:34.722954+00'),
  (1025, 1, NUMERIC '903.08', 'cancelled', TIMESTAMP '2025-04-22 03:51:03.827683+00'),
  (1026, 6, NUMERIC '40.25', 'paid', TIMESTAMP '2025-05-01 04:04:32.932412+00'),
  (1027, 11, NUMERIC '77.42', 'shipped', TIMESTAMP '2025-06-08 05:17:01.037141+00'),
  (1028, 16, NUMERIC '114.59', 'open', TIMESTAMP '2025-07-15 06:30:30.141870+00'),
  (1029, 21, NUMERIC '151.76', 'returned', TIMESTAMP '2025-08-22 07:43:59.246599+00'),
  (1030, 2, NUMERIC '188.93', 'cancelled', TIMESTAMP '2025-09-01 08:56:28.351328+00'),
  (1031, 7, NUMERIC '225.10', 'paid', TIMESTAMP '2025-10-08 09:09:57.456057+00'),
  (1032, 12, NUMERIC '262.27', 'shipped', TIMESTAMP '2025-11-15 10:22:26.560786+00'),
  (1033, 17, NUMERIC '299.44', 'open', TIMESTAMP '2025-12-22 11:35:55.665515+00'),
  (1034, 22, NUMERIC '336.61', 'returned', TIMESTAMP '2025-01-01 12:48:24.770244+00'),
  (1035, 3, NUMERIC '373.78', 'cancelled', TIMESTAMP '2025-02-08 13:01:53.874973+00'),
  (1036, 8, NUMERIC '410.95', 'paid', TIMESTAMP '2025-03-15 14:14:22.979702+00'),
  (1037, 13, NUMERIC '447.12', 'shipped', TIMESTAMP '2025-04-22 15:27:51.084431+00'),
  (1038, 18, NUMERIC '484.29', 'open', TIMESTAMP '2025-05-01 16:40:20.189160+00'),
  (1039, 23, NUMERIC '521.46', 'returned', TIMESTAMP '2025-06-08 17:53:49.293889+00'),
  (1040, 4, NUMERIC '558.63', 'cancelled', TIMESTAMP '2025-07-15 18:06:18.398618+00');

-- bqgate:bytes crm.events 5GiB
CREATE TABLE crm.events (
  id INT64,
  `at` TIMESTAMP,
  payload STRING
);

INSERT INTO crm.events (id, `at`, payload) VALUES
  (5001, TIMESTAMP '2025-06-08 05:05:25.523645+00', '{"kind": "page_view", "ms": 20, "path": "/home/0"}'),
  (5002, TIMESTAMP '2025-07-15 06:18:54.628374+00', '{"kind": "search", "ms": 33, "path": "/shop/1"}'),
  (5003, TIMESTAMP '2025-08-22 07:31:23.733103+00', '{"kind": "add_to_cart", "ms": 46, "path": "/help/2"}'),
  (5004, TIMESTAMP '2025-09-01 08:44:52.837832+00', '{"kind": "checkout", "ms": 59, "path": "/home/3"}'),
  (5005, TIMESTAMP '2025-10-08 09:57:21.942561+00', '{"kind": "login", "ms": 72, "path": "/shop/4"}'),
  (5006, TIMESTAMP '2025-11-15 10:10:50.047290+00', '{"kind": "logout", "ms": 85, "path": "/help/5"}'),
  (5007, TIMESTAMP '2025-12-22 11:23:19.152019+00', '{"kind": "page_view", "ms": 98, "path": "/home/6"}'),
  (5008, TIMESTAMP '2025-01-01 12:36:48.256748+00', NULL),
  (5009, TIMESTAMP '2025-02-08 13:49:17.361477+00', '{"kind": "add_to_cart", "ms": 124, "path": "/help/8"}'),
  (5010, TIMESTAMP '2025-03-15 14:02:46.466206+00', '{"kind": "checkout", "ms": 137, "path": "/home/9"}'),
  (5011, TIMESTAMP '2025-04-22 15:15:15.570935+00', '{"kind": "login", "ms": 150, "path": "/shop/10"}'),
  (5012, TIMESTAMP '2025-05-01 16:28:44.675664+00', '{"kind": "logout", "ms": 163, "path": "/help/11"}'),
  (5013, TIMESTAMP '2025-06-08 17:41:13.780393+00', '{"kind": "page_view", "ms": 176, "path": "/home/12"}'),
  (5014, TIMESTAMP '2025-07-15 18:54:42.885122+00', '{"kind": "search", "ms": 189, "path": "/shop/13"}'),
  (5015, TIMESTAMP '2025-08-22 19:07:11.989851+00', '{"kind": "add_to_cart", "ms": 202, "path": "/help/14"}'),
  (5016, TIMESTAMP '2025-09-01 20:20:40.094580+00', '{"kind": "checkout", "ms": 215, "path": "/home/15"}'),
  (5017, TIMESTAMP '2025-10-08 21:33:09.199309+00', '{"kind": "login", "ms": 228, "path": "/shop/16"}'),
  (5018, TIMESTAMP '2025-11-15 22:46:38.304038+00', '{"kind": "logout", "ms": 241, "path": "/help/17"}'),
  (5019, TIMESTAMP '2025-12-22 23:59:07.408767+00', '{"kind": "page_view", "ms": 254, "path": "/home/18"}'),
  (5020, TIMESTAMP '2025-01-01 00:12:36.513496+00', '{"kind": "search", "ms": 267, "path": "/shop/19"}'),
  (5021, TIMESTAMP '2025-02-08 01:25:05.618225+00', '{"kind": "add_to_cart", "ms": 280, "path": "/help/20"}'),
  (5022, TIMESTAMP '2025-03-15 02:38:34.722954+00', '{"kind": "checkout", "ms": 293, "path": "/home/21"}'),
  (5023, TIMESTAMP '2025-04-22 03:51:03.827683+00', '{"kind": "login", "ms": 306, "path": "/shop/22"}'),
  (5024, TIMESTAMP '2025-05-01 04:04:32.932412+00', '{"kind": "logout", "ms": 319, "path": "/help/23"}'),
  (5025, TIMESTAMP '2025-06-08 05:17:01.037141+00', '{"kind": "page_view", "ms": 332, "path": "/home/24"}'),
  (5026, TIMESTAMP '2025-07-15 06:30:30.141870+00', '{"kind": "search", "ms": 345, "path": "/shop/25"}'),
  (5027, TIMESTAMP '2025-08-22 07:43:59.246599+00', '{"kind": "add_to_cart", "ms": 358, "path": "/help/26"}'),
  (5028, TIMESTAMP '2025-09-01 08:56:28.351328+00', '{"kind": "checkout", "ms": 371, "path": "/home/27"}'),
  (5029, TIMESTAMP '2025-10-08 09:09:57.456057+00', '{"kind": "login", "ms": 384, "path": "/shop/28"}'),
  (5030, TIMESTAMP '2025-11-15 10:22:26.560786+00', '{"kind": "logout", "ms": 397, "path": "/help/29"}');
