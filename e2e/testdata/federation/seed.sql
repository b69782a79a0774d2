CREATE SCHEMA crm;
CREATE SCHEMA finance;
CREATE TABLE crm.mine (id INT64, who STRING, ssn STRING);
INSERT INTO crm.mine VALUES
  (1, 'principal://iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate-requesters/subject/demo:one@agents.example', '700-10-0001'),
  (2, 'principal://iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate-requesters/subject/demo:two@agents.example', '700-10-0002'),
  (3, 'nobody', '700-10-0003'),
  (4, 'principal://iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate-requesters/subject/demo:one@agents.example', '700-10-0004');
CREATE ROW ACCESS POLICY own ON crm.mine
  GRANT TO ("principalSet://iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate-requesters/*")
  FILTER USING (who = SESSION_USER());
CREATE TABLE crm.orders (id INT64, status STRING);
INSERT INTO crm.orders VALUES (1, 'new'), (2, 'sent');
CREATE TABLE finance.payroll (employee STRING);
INSERT INTO finance.payroll VALUES ('Ada'), ('Grace');
