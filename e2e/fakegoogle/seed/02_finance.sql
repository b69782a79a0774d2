-- The payroll: high-value in the demo's policy. Salaries have four decimals, so that each is at least nine characters long and unmistakable.
CREATE SCHEMA finance;

CREATE TABLE finance.payroll (
  employee STRING,
  ssn STRING,
  salary NUMERIC
);

INSERT INTO finance.payroll (employee, ssn, salary) VALUES
  ('Ximena Dragomir', '180-94-2258', NUMERIC '152469.3018'),
  ('Wanda Eriksson', '523-53-7713', NUMERIC '120945.1882'),
  ('Vera Fitzwilliam', '579-20-5554', NUMERIC '116201.6255'),
  ('Umar Grigorescu', '158-92-6870', NUMERIC '158464.3913'),
  ('Tamsin Haverkamp', '326-31-1109', NULL),
  ('Sven Ivanovich', '467-43-2541', NUMERIC '104601.3897'),
  ('Rosa Jankowski', '650-52-9692', NUMERIC '122432.7766'),
  ('Quentin Kowalczyk', '591-22-6979', NUMERIC '115038.1711'),
  ('Priya Lindqvist', '159-21-7984', NUMERIC '51463.3873'),
  ('Oskar Montgomery', '244-54-1863', NUMERIC '104735.8331'),
  ('Nadia Nakagawa', '541-70-4549', NUMERIC '86966.1466'),
  ('Mei Oyelaran', '378-88-9554', NUMERIC '157298.2882'),
  ('Lorenzo Papadakis', '334-52-4891', NUMERIC '77927.4793'),
  ('Katya Quennell', '270-38-2738', NUMERIC '47771.2562'),
  ('Jamal Rasmussen', '291-46-2022', NUMERIC '53523.1081'),
  ('Ingrid Schellenberg', NULL, NUMERIC '96662.6633'),
  ('Hiro Thorvaldsen', '171-49-3496', NUMERIC '142212.5844'),
  ('Greta Underhill', '498-20-7609', NUMERIC '89974.6169'),
  ('Farouk Vandermeer', '372-94-8637', NUMERIC '180771.6397'),
  ('Elif Wolstenholme', '375-87-3586', NUMERIC '53653.3144'),
  ('Dmitri Yamamoto', '469-15-4568', NUMERIC '87256.7345'),
  ('Chiara Abernathy', '418-66-5708', NUMERIC '83591.5372');
