-- Views whose columns are named by a list, and views over tables that changed since.
CREATE SCHEMA crm;
CREATE TABLE crm.people (id INT64, name STRING, ssn STRING);
INSERT INTO crm.people (id, name, ssn) VALUES (1, 'Ada', '911-55-1001'), (2, 'Bob', '911-55-1002'), (3, 'Cy', '911-55-1003');
CREATE VIEW crm.named (customer, tax_no) AS SELECT name, ssn FROM demo.crm.people;
CREATE VIEW crm.swapped (name, ssn) AS SELECT ssn, name FROM demo.crm.people;
CREATE VIEW crm.over_named (customer, tax_no) AS SELECT tax_no, customer FROM demo.crm.named;
CREATE VIEW crm.nameless (n, tail) AS SELECT id + 1, SUBSTR(ssn, -4) FROM demo.crm.people;
CREATE TABLE crm.grown (id INT64, ssn STRING);
INSERT INTO crm.grown (id, ssn) VALUES (1, '911-55-2001'), (2, '911-55-2002');
CREATE VIEW crm.star AS SELECT * FROM demo.crm.grown;
CREATE VIEW crm.star_of_star AS SELECT * FROM demo.crm.star;
CREATE VIEW crm.star_named (a, b) AS SELECT * FROM demo.crm.grown;
ALTER TABLE crm.grown ADD COLUMN card STRING;
INSERT INTO crm.grown (id, ssn, card) VALUES (3, '911-55-2003', '911-55-2903');
