-- Views, functions, table functions and wildcard tables over tables with secrets in them.
CREATE SCHEMA crm;
CREATE SCHEMA lib;
CREATE TABLE crm.people (id INT64, name STRING, ssn STRING);
INSERT INTO crm.people (id, name, ssn) VALUES (1, 'Ada', '911-55-1001'), (2, 'Bob', '911-55-1002'), (3, 'Cy', '911-55-1003');
CREATE TABLE crm.visits_1 (person INT64, ssn STRING);
INSERT INTO crm.visits_1 (person, ssn) VALUES (1, '911-55-2001');
CREATE TABLE crm.visits_2 (person INT64, ssn STRING, place STRING);
INSERT INTO crm.visits_2 (person, ssn, place) VALUES (2, '911-55-2002', 'Oslo');
CREATE VIEW crm.contacts AS SELECT id, ssn AS reference, name FROM demo.crm.people;
CREATE VIEW crm.old_visits AS SELECT person AS id FROM demo.crm.visits_2;
CREATE VIEW crm.names AS SELECT id, name AS label FROM demo.crm.people;
CREATE FUNCTION lib.greet(name STRING) RETURNS STRING AS (CONCAT('Hello ', name));
CREATE FUNCTION lib.tail(value STRING) AS (SUBSTR(value, -4));
CREATE FUNCTION lib.first_ssn() AS ((SELECT MIN(ssn) FROM demo.crm.people));
CREATE TABLE FUNCTION lib.after_id(least INT64) AS SELECT id, ssn AS reference, name FROM demo.crm.people WHERE id > least;
