-- Views, functions, table functions and wildcard tables over tables with secrets in them.
CREATE SCHEMA crm;
CREATE SCHEMA lib;
CREATE TABLE crm.people (id INT64, name STRING, ssn STRING);
INSERT INTO crm.people (id, name, ssn) VALUES (1, 'Ada', '911-55-1001'), (2, 'Bob', '911-55-1002'), (3, 'Cy', '911-55-1003');
CREATE TABLE crm.visits_1 (person INT64, ssn STRING);
INSERT INTO crm.visits_1 (person, ssn) VALUES (1, '911-55-2001');
CREATE TABLE crm.visits_2 (person INT64, ssn STRING, place STRING);
INSERT INTO crm.visits_2 (person, ssn, place) VALUES (2, '911-55-2002', 'Oslo');
CREATE TABLE crm.calls_11 (person INT64);
INSERT INTO crm.calls_11 (person) VALUES (1);
CREATE TABLE crm.calls_21 (person INT64);
INSERT INTO crm.calls_21 (person) VALUES (2);
CREATE VIEW crm.contacts AS SELECT id, ssn AS reference, name FROM demo.crm.people;
CREATE VIEW crm.old_visits AS SELECT person AS id FROM demo.crm.visits_2;
CREATE VIEW crm.names AS SELECT id, name AS label FROM demo.crm.people;
CREATE FUNCTION lib.greet(name STRING) RETURNS STRING AS (CONCAT('Hello ', name));
CREATE FUNCTION lib.tail(value STRING) AS (SUBSTR(value, -4));
CREATE FUNCTION lib.first_ssn() AS ((SELECT MIN(ssn) FROM demo.crm.people));
CREATE TABLE FUNCTION lib.after_id(least INT64) AS SELECT id, ssn AS reference, name FROM demo.crm.people WHERE id > least;
CREATE VIEW crm.inner AS SELECT id, name AS label FROM demo.crm.people;
CREATE VIEW crm.outer AS SELECT id, label FROM demo.crm.inner;
CREATE FUNCTION lib.who() RETURNS STRING AS ((SELECT MIN(name) FROM demo.crm.people));
CREATE TABLE crm.swap (note STRING, ssn STRING);
INSERT INTO crm.swap (note, ssn) VALUES ('hello', '911-55-3001');
CREATE TABLE crm.days_1 (id INT64, label STRING);
INSERT INTO crm.days_1 (id, label) VALUES (1, 'quiet');

-- Tables with row access policies: which rows a query reads depends on the account that it runs under.
CREATE TABLE crm.regional (id INT64, region STRING, ssn STRING);
INSERT INTO crm.regional (id, region, ssn) VALUES (1, 'north', '911-55-4001'), (2, 'south', '911-55-4002');
CREATE ROW ACCESS POLICY north_only ON crm.regional GRANT TO ("group:north@demo.example") FILTER USING (region = 'kestrel-zone-88');
CREATE ROW ACCESS POLICY all_of_it ON crm.regional GRANT TO ("serviceAccount:crm-reader@demo.iam.gserviceaccount.com") FILTER USING (TRUE);
CREATE TABLE crm.sales_1 (id INT64);
INSERT INTO crm.sales_1 (id) VALUES (1);
CREATE TABLE crm.sales_2 (id INT64);
INSERT INTO crm.sales_2 (id) VALUES (2);
CREATE ROW ACCESS POLICY few ON crm.sales_2 GRANT TO ("user:ada@demo.example") FILTER USING (id = 2 AND 'kestrel-zone-88' != '');
CREATE VIEW crm.regions AS SELECT id, region FROM demo.crm.regional;
CREATE VIEW crm.regions_again AS SELECT region AS label FROM demo.crm.regions;
CREATE FUNCTION lib.first_region() RETURNS STRING AS ((SELECT MIN(region) FROM demo.crm.regional));
CREATE TABLE FUNCTION lib.regions_after(least INT64) AS SELECT id, region FROM demo.crm.regional WHERE id > least;
CREATE TABLE crm.later (id INT64);
INSERT INTO crm.later (id) VALUES (7);
CREATE TABLE crm.unasked (id INT64);
INSERT INTO crm.unasked (id) VALUES (8);

-- What asks BigQuery for the account that a query runs under.
CREATE VIEW crm.mine AS SELECT id, name FROM demo.crm.people WHERE SESSION_USER() LIKE '%gserviceaccount%';
CREATE VIEW crm.mine_again AS SELECT id AS number FROM demo.crm.mine;
CREATE FUNCTION lib.me() RETURNS STRING AS (SESSION_USER());
CREATE FUNCTION lib.greet_me() RETURNS STRING AS (CONCAT('Hello ', demo.lib.me()));
CREATE TABLE FUNCTION lib.mine_after(least INT64) AS SELECT id FROM demo.crm.people WHERE id > least AND session_user() != '';
