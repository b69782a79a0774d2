-- Tables of which BigQuery tells more or less than what a query names.
CREATE SCHEMA crm;
CREATE TABLE crm.plain (id INT64, label STRING);
INSERT INTO crm.plain (id, label) VALUES (1, 'one'), (2, 'two');
CREATE TABLE crm.other (id INT64);
INSERT INTO crm.other (id) VALUES (1);
-- bqgate:bytes crm.big 5GiB
CREATE TABLE crm.big (id INT64);
INSERT INTO crm.big (id) VALUES (1);
CREATE TABLE crm.people (id INT64, name STRING, ssn STRING);
INSERT INTO crm.people (id, name, ssn) VALUES (1, 'Ada', '911-57-1001'), (2, 'Bob', '911-57-1002');
CREATE TABLE crm.regional (id INT64, region STRING);
INSERT INTO crm.regional (id, region) VALUES (1, 'north'), (2, 'south');
CREATE TABLE crm.regions (region STRING);
INSERT INTO crm.regions (region) VALUES ('north');
CREATE ROW ACCESS POLICY some ON crm.regional GRANT TO ("user:ada@demo.example") FILTER USING (region IN (SELECT region FROM demo.crm.regions));
