Feature: Messages that failed
  A message that has failed too often is set aside until a person decides about it. Nothing is lost by that, and nothing is
  done twice.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens
    And she has paid
    And the message about her payment has been set aside

  Rule: What a replay would do is told before anything is done

    Scenario: Her payment was done already
      Then a replay of it would change nothing
      When the person on duty replays it
      Then nothing about her order waits for a decision
      And her card has been charged 25.00 EUR

  Rule: A message is discarded with a reason alone

    Scenario: Without a reason
      When the person on duty discards it without a reason
      Then it waits for a decision

    Scenario: With a reason
      When the person on duty discards it, since the till was tested
      Then nothing about her order waits for a decision
      And the audit says of it: the till was tested
      And her card has been charged 25.00 EUR
