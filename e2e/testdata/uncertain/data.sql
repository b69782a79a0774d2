-- Tables of whose columns the gateway cannot be sure, and tables that show others under another name.
-- bqgate:linked share crm
CREATE SCHEMA crm;
CREATE SCHEMA logs;
CREATE SCHEMA share;
CREATE TABLE crm.people (id INT64, name STRING, ssn STRING);
INSERT INTO crm.people (id, name, ssn) VALUES (1, 'Ada', '911-55-1001'), (2, 'Bob', '911-55-1002');
CREATE SNAPSHOT TABLE crm.people_snap CLONE crm.people;
CREATE TABLE crm.people_clone CLONE crm.people_snap;
CREATE TABLE share.people (id INT64, name STRING, ssn STRING);
INSERT INTO share.people (id, name, ssn) VALUES (1, 'Ada', '911-55-1001');
CREATE TABLE crm.leaver (id INT64, ssn STRING);
INSERT INTO crm.leaver (id, ssn) VALUES (1, '911-55-5001');
CREATE SNAPSHOT TABLE crm.leaver_snap CLONE crm.leaver;
DROP TABLE crm.leaver;

-- The table of the prefix's name is the newest, and no member.
CREATE TABLE logs.web_1 (id STRING, national_id STRING);
INSERT INTO logs.web_1 (id, national_id) VALUES ('w1', '911-55-2001');
CREATE TABLE logs.web_ (id STRING, extra STRING);
INSERT INTO logs.web_ (id, extra) VALUES ('w', 'plain');
-- Members that differ, one with a sensitive column that the newest has not.
CREATE TABLE logs.app_1 (id STRING, national_id STRING);
INSERT INTO logs.app_1 (id, national_id) VALUES ('a1', '911-55-3001');
CREATE TABLE logs.app_2 (id STRING);
INSERT INTO logs.app_2 (id) VALUES ('a2');
-- Members that differ, none of them sensitive; and members that do not.
CREATE TABLE logs.bus_1 (id STRING, line STRING);
INSERT INTO logs.bus_1 (id, line) VALUES ('b1', 'x');
CREATE TABLE logs.bus_2 (id STRING);
INSERT INTO logs.bus_2 (id) VALUES ('b2');
CREATE TABLE logs.day_1 (id STRING, note STRING);
INSERT INTO logs.day_1 (id, note) VALUES ('d1', 'x');
CREATE TABLE logs.day_2 (id STRING, note STRING);
INSERT INTO logs.day_2 (id, note) VALUES ('d2', 'y');
-- A table that had no column city.
CREATE TABLE logs.visits (id STRING, town STRING);
INSERT INTO logs.visits (id, town) VALUES ('v1', 'Oslo');
CREATE OR REPLACE TABLE logs.visits AS SELECT id, town AS city FROM logs.visits;
